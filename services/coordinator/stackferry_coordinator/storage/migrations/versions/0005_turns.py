"""which migration makes what at a destination: they take turns."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "turn",
        sa.Column("destination", sa.String(255), primary_key=True),
        sa.Column("project", sa.String(255), primary_key=True),
        sa.Column("thing", sa.String(64), primary_key=True),
        sa.Column("migration", sa.String(64), nullable=False),
        sa.Column("step", sa.String(255), nullable=False),
        sa.Column("group", sa.String(255), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
