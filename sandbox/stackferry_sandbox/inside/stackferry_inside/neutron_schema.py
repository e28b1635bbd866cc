"""Make neutron's schema on SQLite: ``python -m stackferry_inside.neutron_schema NEUTRON_CONF``.

Its Alembic migrations use ALTER CONSTRAINT, which SQLite doesn't have. So the schema is made from the
models and stamped as the newest, and the only rows that a migration inserts (the rules that a new
security group gets) are inserted here.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import sqlalchemy
from alembic import command
from neutron.db.migration import cli
from neutron.db.migration.models import head
from sqlalchemy import orm

DEFAULT_RULES = "alembic_migrations/versions/*/expand/*_security_group_default_rules.py"


def create(engine: sqlalchemy.Engine) -> None:
    """Create all tables and stamp them."""
    head.get_metadata().create_all(engine)
    for config in cli.get_alembic_configs():
        config.neutron_config = cli.CONF
        command.stamp(config, "heads")


def default_rules_migration() -> ModuleType:
    """The migration that holds the default rules. Its file name is no module name."""
    (path,) = Path(cli.__file__).parent.glob(DEFAULT_RULES)
    spec = importlib.util.spec_from_file_location("default_rules", path)
    assert spec is not None  # noqa: S101
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def insert_default_rules(engine: sqlalchemy.Engine) -> None:
    """Insert the rules that neutron copies into each new security group."""
    migration = default_rules_migration()
    table = head.get_metadata().tables[migration.table_name]
    with orm.Session(engine) as session:
        for number, rule in enumerate(migration.default_template_rules, 1):
            description = rule.pop("description")
            session.execute(
                sqlalchemy.insert(migration.standardattr).values(
                    id=number, description=description, resource_type=migration.table_name
                )
            )
            session.execute(sqlalchemy.insert(table).values(standard_attr_id=number, **rule))
        session.commit()


if __name__ == "__main__":
    cli.CONF(["--config-file", sys.argv[1], "current"], project="neutron")
    database = sqlalchemy.create_engine(cli.CONF.database.connection)
    create(database)
    insert_default_rules(database)
