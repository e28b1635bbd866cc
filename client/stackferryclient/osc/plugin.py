"""What python-openstackclient asks of a plugin. Source: its documentation, "Writing plugins".

The gateway is found in Keystone's catalogue, as the service ``ferry``, and asked with the token that ``openstack`` has.
Both can be said otherwise, on the command line, in the environment, or in ``clouds.yaml``: ``ferry_endpoint_override``
is the gateway's address, ``ferry_token_file`` a file with one of its own tokens; Keystone isn't asked then.
"""

from __future__ import annotations

import argparse
import os
import ssl
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
from keystoneauth1 import exceptions as keystone
from osc_lib import exceptions, utils

from ..client import Client
from ..errors import FerryError

API_NAME = "ferry"
API_VERSION_OPTION = "os_ferry_api_version"
DEFAULT_API_VERSION = "1"
API_VERSIONS = {"1": "stackferryclient.client.Client"}


def build_option_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the options that every command of ``openstack ferry`` has."""
    parser.add_argument(
        "--os-ferry-api-version", metavar="<ferry-api-version>", default=utils.env("OS_FERRY_API_VERSION"),
        help="version of Stackferry's API (Env: OS_FERRY_API_VERSION)",
    )  # fmt: skip
    for name, what in {
        "endpoint-override": "address of the gateway; absent: as Keystone's catalogue says",
        "token-file": "file with a token of the gateway's own; absent: Keystone's token",
    }.items():
        variable = f"OS_FERRY_{name.upper().replace('-', '_')}"
        parser.add_argument(
            f"--os-ferry-{name}",
            metavar=f"<{name}>",
            default=os.environ.get(variable),
            help=f"{what} (Env: {variable})",
        )
    return parser


def needs_keystone(config: dict[str, Any]) -> bool:
    """Whether Keystone must be asked for a token or an address."""
    return not (config.get("ferry_endpoint_override") and config.get("ferry_token_file"))


def make_client(instance: Any) -> Client:
    """The client of ``openstack``'s options. *instance*: osc_lib's ClientManager. Raises CommandError."""
    config = instance.get_configuration()
    file = config.get("ferry_token_file")
    try:
        endpoint = config.get("ferry_endpoint_override") or _in_catalogue(instance)
        how: dict[str, Any] = {"token": _token(file)} if file else {"auth": KeystoneAuth(instance.session)}
        return Client(endpoint, verify=_verify(instance.verify, instance.cert), **how)
    except FerryError as error:
        raise exceptions.CommandError(str(error)) from None


def _in_catalogue(instance: Any) -> str:
    found = instance.get_endpoint_for_service_type(
        API_NAME, region_name=instance.region_name, interface=instance.interface
    )
    if not found:
        raise FerryError(
            "Keystone's catalogue has no service `ferry`: say where the gateway is with --os-ferry-endpoint-override"
        )
    return str(found)


def _token(file: str) -> str:
    try:
        return Path(file).expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise FerryError(f"--os-ferry-token-file: {file} can't be read: {error}") from None


def _verify(said: bool | str, cert: str | tuple[str, str] | None) -> ssl.SSLContext | bool:
    """What ``requests`` understands as *verify* and *cert*, as httpx does."""
    if isinstance(said, bool) and cert is None:
        return said
    where = said if isinstance(said, str) else None
    try:
        is_folder = where is not None and Path(where).is_dir()
        context = ssl.create_default_context(cafile=None if is_folder else where, capath=where if is_folder else None)
        if said is False:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if cert is not None:
            context.load_cert_chain(*((cert,) if isinstance(cert, str) else cert))
    except (OSError, ssl.SSLError) as error:
        raise FerryError(f"--os-cacert, --os-cert, --os-key: {where}, {cert} can't be used: {error}") from None
    return context


class KeystoneAuth(httpx.Auth):
    """Keystone's token with each request; a new one, once, for a token that isn't taken.

    *session*: keystoneauth1's. Source: Identity API v3, ``X-Auth-Token``.
    """

    def __init__(self, session: Any) -> None:
        self.session = session

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["X-Auth-Token"] = self._token(request)
        response = yield request
        if response.status_code == 401 and self.session.invalidate():
            request.headers["X-Auth-Token"] = self._token(request)
            yield request

    def _token(self, request: httpx.Request) -> str:
        """Keystone's token; what goes wrong there is told as httpx, or this client, tells it."""
        try:
            return str(self.session.get_token())
        except keystone.ConnectFailure as error:
            raise httpx.ConnectError(f"Keystone: {error}", request=request) from None
        except keystone.ClientException as error:
            raise FerryError(f"Keystone gives no token: {error}") from None
