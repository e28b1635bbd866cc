"""What the configuration files of several services have in common."""

from dataclasses import dataclass
from pathlib import Path

from stackferry_sandbox.services import REGION, url_of

Value = str | int | bool | Path
Options = dict[str, Value]
Sections = dict[str, Options]

SERVICE_USER = "service"
"""The user and project as which the services talk to each other."""


@dataclass(frozen=True)
class CloudSettings:
    """All that the configuration of a cloud depends on."""

    name: str
    root: Path
    venv: Path
    first_port: int
    service_password: str

    def url(self, service: str) -> str:
        """The URL of a service."""
        return url_of(self.first_port, service)

    def database(self, name: str) -> str:
        """The URL of a database."""
        return f"sqlite:///{self.root}/db/{name}.db"


def log_options(cloud: CloudSettings, service: str) -> Options:
    """Log to the file that also takes standard output and error."""
    return {"log_file": cloud.root / "log" / f"{service}.log", "use_stderr": False, "debug": False}


def default_options(cloud: CloudSettings, service: str) -> Options:
    """The [DEFAULT] options of a service that also has workers, an RPC bus and a host."""
    return log_options(cloud, service) | {
        "state_path": cloud.root / service,
        # All workers of a project are threads of one process: an in-memory bus is enough.
        "transport_url": "fake://",
        "rpc_response_timeout": 120,
        "host": f"{cloud.name}-node1",
        "my_ip": "127.0.0.1",
        "api_paste_config": cloud.venv / "etc" / service / "api-paste.ini",
    }


def service_credentials(cloud: CloudSettings) -> Options:
    """How a service logs in to keystone."""
    return {
        "auth_type": "password",
        "auth_url": cloud.url("keystone"),
        "username": SERVICE_USER,
        "password": cloud.service_password,
        "project_name": SERVICE_USER,
        "user_domain_id": "default",
        "project_domain_id": "default",
    }


def client_options(cloud: CloudSettings) -> Options:
    """How a service calls another one."""
    return service_credentials(cloud) | {"region_name": REGION}


def shared_sections(cloud: CloudSettings) -> Sections:
    """Sections that every service but keystone has."""
    return {
        "keystone_authtoken": service_credentials(cloud)
        | {
            "www_authenticate_uri": cloud.url("keystone"),
            "service_token_roles_required": True,
            "service_token_roles": "service",
        },
        # Without it cinder refuses nova's detach.
        "service_user": client_options(cloud) | {"send_service_user_token": True},
        "oslo_concurrency": {"lock_path": cloud.root / "lock"},
        "oslo_messaging_notifications": {"driver": "noop"},
    }
