"""Fill a new keystone database: ``python -m stackferry_inside.keystone_content KEYSTONE_CONF CONTENT``.

CONTENT is JSON: ``region``, ``password`` (of all users, to be replaced in each cloud), ``service_user``,
and ``services``: ``{"name", "type", "url"}`` each. Calls keystone's own code, as keystone-manage does: no
server has to be started for it.
"""

import json
import sys
import uuid
from typing import Any

import keystone.conf
from keystone.cmd import bootstrap
from keystone.common import provider_api, sql

PROVIDERS = provider_api.ProviderAPIs
DOMAIN = "default"


def make_admin(region: str, password: str) -> None:
    """Make the default domain, the roles, the region, and the administrator."""
    bootstrapper = bootstrap.Bootstrapper()
    bootstrapper.admin_username = bootstrapper.project_name = bootstrapper.admin_role_name = "admin"
    bootstrapper.admin_password = password
    bootstrapper.service_name = "keystone"
    bootstrapper.region_id = region
    bootstrapper.immutable_roles = True
    bootstrapper.bootstrap()


def make_service_user(name: str, password: str) -> None:
    """Make the user and project as which services talk to each other."""
    project = {"id": uuid.uuid4().hex, "name": name, "domain_id": DOMAIN, "enabled": True, "description": ""}
    PROVIDERS.resource_api.create_project(project["id"], project)
    user = PROVIDERS.identity_api.create_user(
        {"name": name, "domain_id": DOMAIN, "password": password, "enabled": True}
    )
    roles = {role["name"]: role["id"] for role in PROVIDERS.role_api.list_roles()}
    for role in ("admin", "service"):
        PROVIDERS.assignment_api.add_role_to_user_and_project(user["id"], project["id"], roles[role])


def make_catalogue(region: str, services: list[dict[str, str]]) -> None:
    """Make the catalogue."""
    for service in services:
        identifier = uuid.uuid4().hex
        PROVIDERS.catalog_api.create_service(
            identifier, {"id": identifier, "name": service["name"], "type": service["type"], "enabled": True}
        )
        for interface in ("public", "internal", "admin"):
            endpoint = {
                "id": uuid.uuid4().hex,
                "service_id": identifier,
                "interface": interface,
                "region_id": region,
                "url": service["url"],
                "enabled": True,
            }
            PROVIDERS.catalog_api.create_endpoint(endpoint["id"], endpoint)


def main(config: str, content: dict[str, Any]) -> None:
    """Configure keystone's code and fill the database."""
    keystone.conf.configure()
    sql.initialize()
    keystone.conf.set_default_for_default_log_levels()
    keystone.conf.CONF(["--config-file", config], project="keystone")
    keystone.conf.setup_logging()
    make_admin(content["region"], content["password"])
    make_service_user(content["service_user"], content["password"])
    make_catalogue(content["region"], content["services"])


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
