"""pages of what people ask about steps, and their sums by kind, without reading all of the rows."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_index("ix_step_by_kind", "step", ["migration", "kind", "action", "state", "outcome", "seconds"])
    op.create_index("ix_step_of_group", "step", ["migration", "group", "key"])
    op.drop_index("ix_step_migration_group", "step")
    op.create_index("ix_step_in_order", "step", ["migration", "order", "key"])
