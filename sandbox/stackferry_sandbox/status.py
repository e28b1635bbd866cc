"""What exists, what runs, and how much memory it takes."""

from dataclasses import dataclass

from stackferry_sandbox.clouds import Cloud
from stackferry_sandbox.processes import memory_of, process_of
from stackferry_sandbox.services import NAMES


@dataclass(frozen=True)
class ServiceStatus:
    """One service of a cloud."""

    name: str
    url: str
    log: str
    pid: int | None
    """None while it doesn't run."""
    rss_kib: int
    pss_kib: int
    """Memory, with pages that processes share divided among them: this is what adds up."""


@dataclass(frozen=True)
class CloudStatus:
    """One cloud."""

    name: str
    folder: str
    services: tuple[ServiceStatus, ...]

    @property
    def running(self) -> bool:
        """Whether all services run."""
        return all(service.pid for service in self.services)


def status_of(cloud: Cloud) -> CloudStatus:
    """Look at a cloud."""
    return CloudStatus(cloud.name, str(cloud.paths.root), tuple(service_status(cloud, service) for service in NAMES))


def service_status(cloud: Cloud, service: str) -> ServiceStatus:
    """Look at a service."""
    process = process_of(cloud.paths, service)
    memory = memory_of(process) if process else {}
    return ServiceStatus(
        name=service,
        url=cloud.url(service),
        log=str(cloud.paths.log(service)),
        pid=process.pid if process else None,
        rss_kib=memory.get("rss", 0),
        pss_kib=memory.get("pss", 0),
    )
