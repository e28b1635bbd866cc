"""The options of `hosts deploy`, as the command line shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .wanted import PORT

SERVERS, NETWORK, AGENTS, ACCESS = "Servers", "Network", "Agents", "Access"
Words = list[str] | None


def _each(flag: str, panel: str, help_: str, metavar: str = "TEXT") -> Any:
    """An option that may be repeated, and said for one cloud only."""
    return typer.Option(flag, rich_help_panel=panel, help=help_, metavar=f"[CLOUD=]{metavar}", show_default=False)


def _all(panel: str, help_: str, *flags: str, **more: Any) -> Any:
    """An option for all hosts."""
    return typer.Option(*flags, rich_help_panel=panel, help=help_, **more)


def _file(panel: str, help_: str, *flags: str) -> Any:
    return _all(panel, help_, *flags, exists=True, dir_okay=False)


#: the options that may be said for one cloud only, by the names of their parameters
EACH = (
    "count", "flavor", "image", "name", "volume_size", "availability_zone", "network", "external_network",
    "floating_ip", "cidr", "dns", "mtu", "peer", "ssh_from", "key_name",
)  # fmt: skip
Count = Annotated[Words, _each("--count", SERVERS, "How many hosts; 1 when not given.", "N")]
Flavor = Annotated[Words, _each("--flavor", SERVERS, "Their flavor; needed.")]
Image = Annotated[Words, _each("--image", SERVERS, "Debian 12, Ubuntu 24.04, EL 9; os_migrate_conv when not given.")]
Name = Annotated[Words, _each("--name", SERVERS, "Their name; os_migrate_conv_src or _dst when not given.")]
VolumeSize = Annotated[Words, _each("--volume-size", SERVERS, "Boot from a new volume of so many GiB.", "N")]
Zone = Annotated[Words, _each("--availability-zone", SERVERS, "Where they run.")]
ConfigDrive = Annotated[
    bool, _all(SERVERS, "Give user data by a drive too: for networks without a metadata service.", "--config-drive")
]
Existing = Annotated[Words, _each("--network", NETWORK, "A network that is there; one is made when not given.")]
External = Annotated[Words, _each("--external-network", NETWORK, "Outside; needed where there are several.")]
FloatingIp = Annotated[
    Words,
    _each(
        "--floating-ip", NETWORK,
        "auto, none, or an address that the project has, one a host; auto when a network is made, else none.",
    ),
]  # fmt: skip
Cidr = Annotated[Words, _each("--cidr", NETWORK, "Range of the network that is made.", "RANGE")]
Dns = Annotated[Words, _each("--dns", NETWORK, "Name server in the network that is made.", "ADDRESS")]
Mtu = Annotated[Words, _each("--mtu", NETWORK, "Largest packet in the network that is made.", "N")]
Peer = Annotated[
    Words, _each("--peer", ACCESS, "Who else fetches from the source's hosts than the hosts of -d.", "RANGE")
]
SshFrom = Annotated[Words, _each("--ssh-from", ACCESS, "Who may use ssh; nobody when not given.", "RANGE")]
KeyName = Annotated[Words, _each("--key-name", ACCESS, "A key pair that is there, for ssh.")]

Agents = Annotated[int, _all(AGENTS, "Agents on each host.", min=1, max=64)]
Slots = Annotated[int, _all(AGENTS, "Volumes that an agent works on at once.", min=1, max=1000)]
Bandwidth = Annotated[float, _all(AGENTS, "Bytes a second that an agent sends at most; 0: no limit.", min=0)]
ListenPort = Annotated[
    int, _all(AGENTS, f"Port of the first agent of a host ({PORT}); each further one takes the next.", min=1, max=65000)
]
Package = Annotated[
    Words, _all(AGENTS, "What pip installs; may be repeated. This version when not given.", "--package")
]
PipArguments = Annotated[
    str,
    _all(
        AGENTS, "More words for `pip install`: '--no-index --find-links /srv/wheels'.", "--pip-arguments",
        envvar="STACKFERRY_PIP_ARGUMENTS",
    ),
]  # fmt: skip
PreHook = Annotated[Path | None, _file(AGENTS, "A script that each host runs first.")]
PostHook = Annotated[Path | None, _file(AGENTS, "A script that each host runs last.")]
AmqpUriFile = Annotated[
    Path | None,
    _file(
        ACCESS, "A file with the URI by which agents reach the broker (without a user: each host gets its own); or "
        "STACKFERRY_AGENT_AMQP_URI. The local one otherwise.",
        "--agent-amqp-uri-file",
    ),
]  # fmt: skip
CaFile = Annotated[Path | None, _file(ACCESS, "Who has signed the broker's certificate (PEM), for amqps.")]
SshPublicKey = Annotated[Path | None, _file(ACCESS, "A file with public keys, for ssh.")]
Vars = Annotated[
    Path | None,
    typer.Option("--vars", help="An OS Migrate variables file: its conversion hosts.", exists=True, dir_okay=False),
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the agents answer.")]
Timeout = Annotated[float, typer.Option(help="How many seconds to wait.", min=1)]
