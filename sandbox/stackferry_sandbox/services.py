"""The six services of a cloud: their order, catalogue entries and URLs, as data."""

from dataclasses import dataclass

REGION = "RegionOne"
PORTS_PER_CLOUD = 6


@dataclass(frozen=True)
class Service:
    """One project of OpenStack that runs as one process."""

    name: str
    catalogue_name: str
    catalogue_type: str
    path: str
    """What follows host and port in the catalogue's URL."""


SERVICES: tuple[Service, ...] = (
    Service("keystone", "keystone", "identity", "/v3"),
    Service("glance", "glance", "image", ""),
    Service("placement", "placement", "placement", ""),
    Service("neutron", "neutron", "network", ""),
    Service("nova", "nova", "compute", "/v2.1"),
    Service("cinder", "cinderv3", "volumev3", "/v3"),
)
NAMES: tuple[str, ...] = tuple(service.name for service in SERVICES)

# The slowest to start come first: all are started together, and the last one ready decides.
START_ORDER: tuple[str, ...] = ("nova", "neutron", "cinder", "keystone", "glance", "placement")


def port_of(first_port: int, service: str) -> int:
    """The port on which a service of the cloud that starts at ``first_port`` listens."""
    return first_port + NAMES.index(service)


def url_of(first_port: int, service: str) -> str:
    """The URL by which the catalogue and the other services know a service."""
    return f"http://127.0.0.1:{port_of(first_port, service)}{SERVICES[NAMES.index(service)].path}"


def placeholder_url(service: str) -> str:
    """What stands for a service's URL in the template, which has no ports yet."""
    return f"http://cloud.invalid/{service}"
