"""Entries of clouds.yaml, and connections made from them."""

from typing import Any

import openstack
import yaml
from openstack.connection import Connection

from stackferry_sandbox.clouds import Cloud
from stackferry_sandbox.services import REGION

Entry = dict[str, Any]
"""What stands below a cloud's name in clouds.yaml."""

TENANT = "tenant"
"""The project, and the user, that every cloud has beside the administrator's."""


def entry(cloud: Cloud, user: str, password: str, project: str | None = None) -> Entry:
    """How to log in to a cloud."""
    return {
        "auth": {
            "auth_url": cloud.url("keystone"),
            "username": user,
            "password": password,
            "project_name": project or user,
            "user_domain_id": "default",
            "project_domain_id": "default",
        },
        "region_name": REGION,
        "interface": "public",
        "identity_api_version": 3,
    }


def entries(cloud: Cloud) -> dict[str, Entry]:
    """The two entries of a cloud: the tenant's under its own name, and the administrator's."""
    credentials = cloud.credentials
    return {
        cloud.name: entry(cloud, TENANT, credentials.tenant),
        f"{cloud.name}-admin": entry(cloud, "admin", credentials.admin),
    }


def clouds_yaml(clouds: list[Cloud]) -> str:
    """The text of clouds.yaml."""
    found = {name: each for cloud in clouds for name, each in entries(cloud).items()}
    return yaml.safe_dump({"clouds": found}, sort_keys=False, allow_unicode=True)


def connect(login: Entry) -> Connection:
    """A connection that depends on nothing but its entry: no other clouds.yaml, no OS_*, no proxy."""
    connection = openstack.connect(load_yaml_config=False, load_envvars=False, **login)
    connection.session.session.trust_env = False
    return connection


def connect_admin(cloud: Cloud) -> Connection:
    """A connection as the administrator."""
    return connect(entry(cloud, "admin", cloud.credentials.admin))
