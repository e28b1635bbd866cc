"""which clouds a worker knows."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("worker", sa.Column("clouds", sa.JSON))
