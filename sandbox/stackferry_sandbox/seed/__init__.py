"""Fill a project: with a realistic tenant, or with many equal stacks."""

from stackferry_sandbox.seed.build import seed_tenant
from stackferry_sandbox.seed.stacks import seed_stacks

__all__ = ["seed_stacks", "seed_tenant"]
