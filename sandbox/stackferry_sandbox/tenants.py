"""Projects with a user of their own: make them, and remove them with what is in them."""

import secrets
from typing import Any

from openstack.connection import Connection
from openstack.exceptions import ConflictException

from stackferry_sandbox import purge
from stackferry_sandbox.clouds import Cloud
from stackferry_sandbox.connections import Entry, connect, connect_admin, entry
from stackferry_sandbox.errors import SandboxError

DOMAIN = "default"


def ensure_tenant(admin: Connection, name: str, password: str, role: str = "member") -> None:
    """Make a project and a user of one name, unless they are there; the user gets the role in the project."""
    identity: Any = admin.identity
    project = identity.find_project(name, domain_id=DOMAIN) or identity.create_project(name=name, domain_id=DOMAIN)
    user = identity.find_user(name, domain_id=DOMAIN) or identity.create_user(
        name=name, domain_id=DOMAIN, password=password, default_project_id=project.id
    )
    identity.assign_project_role_to_user(project, user, identity.find_role(role))


def create_tenant(cloud: Cloud, name: str, *, admin: bool = False) -> Entry:
    """Make a new project with a user of the same name and a random password.

    Args:
        cloud: where.
        name: of the project and of the user; must be new.
        admin: give the user the role admin instead of member.

    Returns:
        How to log in: an entry for clouds.yaml, or the arguments of ``openstack.connect``.
    """
    password = secrets.token_hex(16)
    with connect_admin(cloud) as connection:
        identity: Any = connection.identity
        try:
            project = identity.create_project(name=name, domain_id=DOMAIN)
            user = identity.create_user(name=name, domain_id=DOMAIN, password=password, default_project_id=project.id)
        except ConflictException as error:
            raise SandboxError(f"cloud {cloud.name!r} has a project or user {name!r} already") from error
        role = identity.find_role("admin" if admin else "member")
        identity.assign_project_role_to_user(project, user, role)
    return entry(cloud, name, password)


def delete_tenant(cloud: Cloud, name: str) -> None:
    """Remove a project, its user, and all that the project has; nothing happens if it is gone."""
    password = cloud.credentials.admin
    with connect_admin(cloud) as admin:
        identity: Any = admin.identity
        project = identity.find_project(name, domain_id=DOMAIN)
        user = identity.find_user(name, domain_id=DOMAIN)
        if project and user:
            # Not as the user with a new password: keystone then refuses tokens of the same second.
            identity.assign_project_role_to_user(project, admin.current_user_id, identity.find_role("admin"))
            with connect(entry(cloud, "admin", password, project=name)) as inside:
                purge.purge(admin, inside, project.id, user.id)
        if user:
            identity.delete_user(user)
        if project:
            identity.delete_project(project)
