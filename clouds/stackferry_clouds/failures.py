"""What went wrong with a cloud: told in a sentence that says what to do, and apart from what nobody knows."""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keystoneauth1 import exceptions as ks
from openstack import exceptions as sdk
from stackferry.errors import Error, NotDone, Unfinished

#: where urllib3 begins to say which of its parts failed
_INSIDE = re.compile(r":? ?(?:\b\w*Pool(?:TLS)?\(host=|\('Connection aborted)")
DEEPEST = 20  # errors in one another


class CloudError(Error):
    """A cloud can't be used: no such entry, wrong credentials, unreachable."""


class CloudSilent(CloudError):
    """A cloud can't be reached now; nothing was asked of it."""


@contextmanager
def explained(place: dict[str, Any]) -> Iterator[None]:
    """Turn what openstacksdk raises while connecting into one sentence that says what to do."""
    name = place["cloud"]
    try:
        yield
    except ks.Unauthorized as error:
        raise CloudError(f"cloud {name!r} refuses the credentials: {_first_line(error)}; check clouds.yaml") from None
    except ks.SSLError as error:
        text = f"cloud {name!r} has a certificate that isn't trusted: {_first_line(error)}; see cacert in clouds.yaml"
        raise CloudError(text) from None
    except SILENT as error:
        raise CloudSilent(
            f"cloud {name!r} does not answer: {_first_line(error)}; check auth_url and the network"
        ) from None
    except (ks.ClientException, sdk.SDKException) as error:
        raise CloudError(
            f"cloud {name!r} can't be used: {_first_line(error)}; see clouds.yaml (OS_CLIENT_CONFIG_FILE)"
        ) from None


#: nobody is there, or only somebody who says that another can't be reached
SILENT = (
    ks.ConnectionError,
    ks.HttpServerError,
    ks.DiscoveryFailure,
    sdk.ServiceDiscoveryException,
    sdk.EndpointNotFound,
)


def failure(error: Exception) -> tuple[str, str, bool]:
    """Return (outcome, reason, retryable) of an exception that a call raised.

    ``interrupted`` means that nobody knows whether a write took effect: the next try must look first.
    """
    if isinstance(error, CloudSilent):
        return "interrupted", str(error), True
    if isinstance(error, CloudError):
        return "failed", str(error), False
    if isinstance(error, NotDone):
        return "failed", str(error), True
    if isinstance(error, Unfinished):
        return "pending", str(error), True
    text = _first_line(error)
    status = getattr(error, "status_code", None) or getattr(error, "http_status", None)
    lost = (ks.ConnectFailure, ks.ConnectTimeout, ks.ConnectionError, ks.RetriableConnectionFailure, OSError)
    if not status and isinstance(error, lost):  # openstacksdk's HTTP errors are OSErrors too
        return "interrupted", f"the cloud did not answer: {text}", True
    if over_quota(error):
        return "failed", f"no quota left: {text}", False
    if status == 409:
        return "conflict", text, False
    if status == 403:
        return "failed", f"not allowed: {text}", False
    if status is not None and (status >= 500 or status in (408, 429)):
        return "interrupted", f"the cloud failed: {text}", True
    return "failed", text, False


def answered(error: Exception) -> bool:
    """Whether a cloud is there, and fails at this request (500): it will again, unlike one that is out (502, 503)."""
    status = getattr(error, "status_code", None) or getattr(error, "http_status", None)
    return status is not None and status not in (408, 429, 502, 503, 504)


def over_quota(error: Exception) -> bool:
    """Whether a cloud refuses because the project has used up a quota."""
    status = getattr(error, "status_code", None) or getattr(error, "http_status", None)
    return status in (403, 409, 413) and "quota" in _first_line(error).lower()


def _first_line(error: BaseException) -> str:
    details = getattr(error, "details", None)
    text = f"{error}" if not details or str(details) in str(error) else f"{error}: {details}"
    first = (text.strip().splitlines() or [type(error).__name__])[0]
    inside = _INSIDE.search(first)
    return (f"{first[: inside.start()]}: {_at_last(error)}" if inside else first)[:500]


def _at_last(error: BaseException) -> str:
    """What the system said, at the bottom of what libraries have wrapped around it."""
    for _ in range(DEEPEST):
        if (below := error.__cause__ or error.__context__) is None:
            break
        error = below
    if isinstance(error, ssl.SSLError):  # its number is OpenSSL's, not the system's
        return getattr(error, "verify_message", None) or (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(getattr(error, "reason", None) or error) or type(error).__name__
