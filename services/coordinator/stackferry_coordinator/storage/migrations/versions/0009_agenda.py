"""what is being done with a whole migration, slice by slice."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("migration", sa.Column("agenda", sa.JSON(none_as_null=True)))
