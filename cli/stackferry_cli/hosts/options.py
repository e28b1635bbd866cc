"""From the words of a command line, and an OS Migrate variables file, to the hosts that are wanted."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stackferry.errors import Error

from . import variables
from .flags import EACH
from .guest import guest
from .wanted import AUTOMATIC, NONE, Guest, Network, Wanted

#: option → what was typed; a word may begin with ``CLOUD=``, then it's for the hosts in that cloud only
Words = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Place:
    """One side of the command. ``side``: OS Migrate's word for it, ``src`` or ``dst``."""

    side: str
    cloud: str
    project: str | None = None


def all_wanted(places: Sequence[Place], typed: Mapping[str, Any], said: dict[str, Any], amqp_uri: str) -> list[Wanted]:
    """Return the hosts of each side. *typed*: the command's parameters; *said*: an OS Migrate variables file."""
    words = {name.replace("_", "-"): typed.get(name) or () for name in EACH}
    clouds = [place.cloud for place in places]
    found = []
    for place in places:
        known = variables.of_side(said, place.side)
        one = wanted(place, clouds, words, guest(typed, known, amqp_uri), known)
        found.append(replace(one, config_drive=typed["config_drive"]))
    return found


def wanted(place: Place, clouds: Sequence[str], words: Words, guest: Guest, variables: Mapping[str, Any]) -> Wanted:
    """Return the hosts that one side is to have; raise Error naming the option that makes no sense.

    *variables*: what an OS Migrate variables file says about this side; what was typed comes first.
    """
    said = _Said(place.cloud, clouds, words, variables)
    flavor = said.text("flavor", "flavor_name")
    if flavor is None:
        raise Error(f"--flavor is missing: `openstack --os-cloud {place.cloud} flavor list` shows which there are")
    network = _network(said)
    more = {
        "image": said.text("image", "image_name"),
        "count": said.number("count"),
        "group": said.variables.get("secgroup_name"),
        "floating_ips": _floating_ips(said, made=isinstance(network, Network)),
        "external": said.text("external-network", "external_network_name"),
        "volume_size": _volume_size(said),
        "availability_zone": said.text("availability-zone", "availability_zone"),
        "key_name": said.text("key-name"),
        "peers": ranges("--peer", said.texts("peer")) if place.side == "src" else None,
        "ssh_from": ranges("--ssh-from", said.texts("ssh-from")),
    }
    name = said.text("name", "host_name") or f"os_migrate_conv_{place.side}"
    return Wanted(place.cloud, name, flavor, guest, place.project, network=network, **_given(more))


def ranges(option: str, texts: Sequence[str]) -> tuple[str, ...]:
    """Ranges of addresses, as Neutron writes them."""
    try:
        return tuple(str(ipaddress.ip_network(text)) for text in texts)
    except ValueError as error:
        raise Error(f"{option}: {error}; expected a range such as 192.0.2.0/24, or an address") from None


@dataclass(frozen=True, slots=True)
class _Said:
    """What was said about one side, by options or by variables."""

    cloud: str
    clouds: Sequence[str]
    words: Words
    variables: Mapping[str, Any]

    def texts(self, option: str) -> list[str]:
        """Every value of an option for this cloud; those that name the cloud come before those for all."""
        pairs = [word.partition("=") for word in self.words.get(option) or ()]
        mine = [value for cloud, _, value in pairs if _ and cloud == self.cloud]
        return mine or ["".join(pair) for pair in pairs if not (pair[1] and pair[0] in self.clouds)]

    def text(self, option: str, variable: str = "") -> str | None:
        """The one value of an option, else of a variable."""
        if len(found := self.texts(option)) > 1:
            raise Error(f"--{option}: {' and '.join(found)} can't both hold; say CLOUD=VALUE for one cloud")
        known = self.variables.get(variable)
        return found[0] if found else None if known is None else str(known)

    def number(self, option: str, variable: str = "") -> int | None:
        """The one value, a number from 1 on."""
        text = self.text(option, variable)
        if text is None:
            return None
        if not text.isdecimal() or not int(text):
            raise Error(f"--{option} {text}: expected a number from 1 on")
        return int(text)


def _network(said: _Said) -> Network | str:
    """What to make, or the network that is there."""
    if existing := said.text("network"):
        return existing
    variables = said.variables
    if variables.get("manage_network") is False:
        if "net_name" not in variables:
            raise Error(
                f"os_migrate_{{src,dst}}_conversion_manage_network is false: say which, --network {said.cloud}=..."
            )
        return str(variables["net_name"])
    cidr = said.text("cidr", "subnet_cidr")
    more = {
        "name": variables.get("net_name"),
        "subnet": variables.get("subnet_name"),
        "router": variables.get("router_name"),
        "external": said.text("external-network", "external_network_name"),
        "cidr": ranges("--cidr", [cidr])[0] if cidr else None,
        "first": variables.get("subnet_alloc_start"),
        "last": variables.get("subnet_alloc_end"),
        "gateway": variables.get("router_ip"),
        "nameservers": tuple(said.texts("dns")) or variables.get("subnet_dns_nameservers"),
        "mtu": said.number("mtu", "net_mtu"),
    }
    network = Network(**_given(more))
    if (network.first is None) != (network.last is None):
        raise Error("os_migrate_conversion_subnet_alloc_start and _alloc_end: say both, or neither")
    return network


def _floating_ips(said: _Said, made: bool) -> tuple[str, ...]:
    """In a network that is there, hosts are reached by their own addresses unless the command says otherwise."""
    typed = said.texts("floating-ip")
    for text in typed:
        if text not in (AUTOMATIC, NONE):
            _address("--floating-ip", text)
    if typed:
        return tuple(typed)
    variables = said.variables
    if variables.get("manage_fip") is False:
        return (NONE,)
    if address := variables.get("floating_ip_address"):
        return (_address("os_migrate_{src,dst}_conversion_floating_ip_address", address),)
    return (AUTOMATIC,) if made or variables.get("manage_fip") else (NONE,)


def _address(option: str, text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise Error(f"{option}: {text!r} is no address; expected one, or `auto` or `none`") from None


def _volume_size(said: _Said) -> int | None:
    typed = said.number("volume-size")
    if typed is None and said.variables.get("host_boot_from_volume"):
        return int(said.variables.get("host_volume_size") or 20)
    return typed


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what wasn't said: the defaults count then."""
    return {name: value for name, value in values.items() if value is not None}
