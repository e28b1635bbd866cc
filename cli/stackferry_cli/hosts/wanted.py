"""What the conversion hosts of one project are to be like: everything that can be said about them, as data."""

from __future__ import annotations

from dataclasses import dataclass

NAME = "os_migrate_conv"  # OS Migrate's, so that its images and habits fit
PORT = 10900
AUTOMATIC, NONE = "auto", "none"


@dataclass(frozen=True, slots=True)
class Network:
    """The network that is made for the hosts, and its way out."""

    name: str = NAME
    subnet: str = NAME
    router: str = NAME
    external: str | None = None  # name or id; None: the only one that there is
    cidr: str = "192.168.10.0/24"
    first: str | None = None  # addresses that hosts get; None: all of the range
    last: str | None = None
    gateway: str | None = None
    nameservers: tuple[str, ...] = ()
    mtu: int | None = None


@dataclass(frozen=True, slots=True)
class Guest:
    """What is inside of a host: how its agents are installed, and what they're told."""

    amqp_uri: str
    ca: str | None = None  # PEM of who has signed the broker's certificate
    agents: int = 1
    slots: int = 4
    bandwidth: float = 0.0
    port: int = PORT  # of the first agent; each further one takes the next
    packages: tuple[str, ...] = ()
    pip_arguments: tuple[str, ...] = ()
    install: bool = True
    pre_hook: str | None = None  # scripts; bash, unless their first line says another
    post_hook: str | None = None
    ssh_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """The hosts of one project. ``network``: what to make, or the name or id of one that is there."""

    cloud: str  # as the services' clouds.yaml calls it
    name: str
    flavor: str
    guest: Guest
    project: str | None = None  # as migrations name it; None: that of the credentials
    count: int = 1
    image: str = NAME
    network: Network | str = Network()
    group: str = NAME
    floating_ips: tuple[str, ...] = (AUTOMATIC,)  # of the hosts in order; the last one counts for all further ones
    external: str | None = None  # where floating IPs are from, when the network is one that is there
    volume_size: int | None = None  # GiB to boot from; None: the flavor's own disk
    availability_zone: str | None = None
    config_drive: bool = False
    key_name: str | None = None  # of a key pair that is there
    peers: tuple[str, ...] = ()  # ranges that may fetch from these hosts; none: as it is
    ssh_from: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """The hosts' names."""
        return [self.name, *(f"{self.name}-{n}" for n in range(2, self.count + 1))]

    def floating_ip(self, number: int) -> str:
        """``auto``, ``none``, or the address, of the n-th host; what isn't said is as for the one before."""
        given = self.floating_ips
        if number < len(given):
            return given[number]
        return given[-1] if given[-1] in (AUTOMATIC, NONE) else AUTOMATIC
