"""workloads."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "agent",
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("instance", sa.String(length=255), nullable=False),
        sa.Column("cloud", sa.String(length=255), nullable=False),
        sa.Column("project", sa.String(length=255), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("draining", sa.Boolean(), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=True),
        sa.Column("certificate", sa.Text(), nullable=False),
        sa.Column("seen", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("host", "instance", name=op.f("pk_agent")),
    )
    with op.batch_alter_table("step", schema=None) as batch_op:
        batch_op.add_column(sa.Column("group", sa.String(length=512), server_default="", nullable=False))
        batch_op.add_column(sa.Column("results", sa.JSON(), server_default="{}", nullable=False))
        for name, nullable in (("done", False), ("total", True)):
            batch_op.alter_column(name, existing_type=sa.Integer(), type_=sa.BigInteger(), existing_nullable=nullable)
        batch_op.create_index(batch_op.f("ix_step_migration_group"), ["migration", "group"], unique=False)
