"""who spoke of a migration first."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("migration", sa.Column("owner", sa.String(255), nullable=False, server_default=""))
