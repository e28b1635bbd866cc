"""Whether the clouds that a variables file is about are those that the running system would use.

The services have credentials of their own, and messages carry only the name of a cloud: so a file for another project
would read, and write, where nobody meant to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from stackferry.client import Client
from stackferry.errors import Error

from . import file

PORTS = {"http": 80, "https": 443}
VERSIONS = ("/v3", "/v2.0")
#: key of ``os_migrate_*_auth`` → what the services answer for it
COMPARED = {
    "username": "user",
    "user_id": "user_id",
    "user_domain_name": "user_domain",
    "user_domain_id": "user_domain_id",
    "project_name": "project",
    "tenant_name": "project",
    "project_id": "project_id",
    "tenant_id": "project_id",
    "project_domain_name": "project_domain",
    "project_domain_id": "project_domain_id",
    "application_credential_id": "application_credential_id",
}
OPTIONS = {"src": ("source", "--source"), "dst": ("destination", "--destination")}


def check(ferry: Client, variables: Mapping[str, Any], places: Mapping[str, dict[str, Any] | None]) -> None:
    """Raise Error when a side of a command (``src``, ``dst``) is another cloud or project than the file says."""
    for side, place in places.items():
        if place is None or f"os_migrate_{side}_auth" not in variables:
            continue
        entry = file.clouds(dict(variables))["clouds"][side]
        about, option = OPTIONS[side]
        if wrong := list(differences(side, entry, ferry.check(place, about))):
            raise Error(
                f"cloud {place['cloud']!r} of the running system is not the one of the variables file: "
                f"{'; '.join(wrong)}. Start the system with this file (`stackferry down`, then `stackferry up --vars "
                f"FILE`), or say by {option} which of its clouds is meant"
            )


def differences(side: str, entry: dict[str, Any], answer: Mapping[str, Any]) -> Iterator[str]:
    """Yield which variable says something else than the services found. What nobody knows isn't compared."""
    auth = entry["auth"]
    pairs = [(f"auth.{key}", auth.get(key), answer.get(name)) for key, name in COMPARED.items()]
    pairs += [("region_name", entry.get("region_name"), answer.get("region"))]
    if auth.get("auth_url") and answer.get("auth_url") and _same_url(auth["auth_url"]) != _same_url(answer["auth_url"]):
        yield f"os_migrate_{side}_auth.auth_url is {_shown(auth['auth_url'])}, and there {_shown(answer['auth_url'])}"
    for variable, said, found in pairs:
        if said and found and _same(variable, said) != _same(variable, found):
            yield f"os_migrate_{side}_{variable} is {said!r}, and there {found!r}"


def _same(variable: str, value: Any) -> str:
    return str(value).casefold() if variable.endswith("domain_name") else str(value)


def _same_url(url: Any) -> tuple[Any, ...]:
    """Scheme, host, port and path: of two ways to write the same Keystone, one."""
    try:
        parts = urlsplit(str(url).strip())
        port = parts.port
    except ValueError:
        return (str(url),)
    path = parts.path.rstrip("/")
    for version in VERSIONS:
        path = path.removesuffix(version)
    return parts.scheme.lower(), parts.hostname, port or PORTS.get(parts.scheme.lower()), path.rstrip("/")


def _shown(url: Any) -> str:
    """A URL without a password that somebody may have written into it."""
    return str(url).rpartition("@")[2] if "@" in str(url) else str(url)
