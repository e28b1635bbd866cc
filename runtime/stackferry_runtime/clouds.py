"""Sessions with OpenStack clouds: bounded, patient where a cloud asks for patience, and explained when they fail.

Calls are made through openstacksdk. At most ``cloud_concurrency`` are under way per cloud; an overloaded cloud
(429, 503) halves that at once, and every success widens it a little. ``Retry-After`` is obeyed.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import Any

import openstack
from keystoneauth1 import exceptions as ks
from keystoneauth1.session import TCPKeepAliveAdapter
from openstack import exceptions as sdk
from stackferry.errors import Error, NotDone, Unfinished
from stackferry.resources.view import View

SAFE = ("GET", "HEAD", "OPTIONS")
MAX_WAIT = 60.0  # seconds; no message may be held for long
TRIES = 4
FRESH = 120.0  # seconds after which a write that waits for its turn isn't sent: its try may be given up by then
QUESTION = 10.0  # seconds that a cloud gets where a person waits to hear how it is
CONNECTIONS = 64  # that are kept


class CloudError(Error):
    """A cloud can't be used: no such entry, wrong credentials, unreachable."""


class CloudSilent(CloudError):
    """A cloud can't be reached now; nothing was asked of it."""


class Gate:
    """Lets at most ``limit`` calls through at once; the limit adapts between 1 and *most*."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        self.busy = 0
        self.not_before = 0.0
        self._changed = threading.Condition()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one slot, waiting for it and for the cloud's own ``Retry-After``."""
        with self._changed:
            while self.busy >= int(self.limit):
                self._changed.wait()
            self.busy += 1
        try:
            time.sleep(max(0.0, self.not_before - time.monotonic()))
            yield
        finally:
            with self._changed:
                self.busy -= 1
                self._changed.notify()

    def overloaded(self, wait: float) -> None:
        """The cloud refused: half as many calls from now on, and none for *wait* seconds."""
        with self._changed:
            self.limit = max(1.0, self.limit / 2)
            self.not_before = max(self.not_before, time.monotonic() + wait)

    def went_well(self) -> None:
        """The cloud answered: a little more is allowed."""
        with self._changed:
            self.limit = min(float(self.most), self.limit + 0.1)
            self._changed.notify()


class PatientAdapter(TCPKeepAliveAdapter):
    """Sends requests through a gate, and repeats those whose repetition is harmless.

    429, and 503 with ``Retry-After``, mean that nothing was done: any method is repeated. Other server errors
    and broken connections leave a doubt: only reading is repeated; for a write the caller must look first.
    """

    def __init__(self, gate: Gate, tries: int = TRIES, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gate, self.tries = gate, tries

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        replayable, began = request.body is None or isinstance(request.body, bytes | str), time.monotonic()
        for left in reversed(range(self.tries)):
            with self.gate.slot():
                if request.method not in SAFE and time.monotonic() - began > FRESH:
                    raise Unfinished("the cloud is overloaded: nothing was sent")
                try:
                    response = super().send(request, *args, **kwargs)
                except OSError:  # requests' errors are OSErrors
                    if request.method in SAFE and left:
                        time.sleep(_jitter(self.tries - left))
                        continue
                    raise
            wait = refused(response.status_code, response.headers.get("Retry-After"))
            if wait is not None:
                self.gate.overloaded(wait)
            elif response.status_code < 500:
                self.gate.went_well()
                return response
            again = wait is not None or request.method in SAFE
            if not (again and left and replayable):
                return response
            response.close()
            if wait is None:
                time.sleep(_jitter(self.tries - left))
        raise AssertionError("unreachable")


def refused(status: int, retry_after: str | None) -> float | None:
    """Return how many seconds to wait when the cloud says that it did nothing; None when it doesn't say so."""
    if status == 429 or (status == 503 and retry_after):
        return _seconds(retry_after)
    return None


def _seconds(retry_after: str | None) -> float:
    try:
        wait = float(retry_after or 1)
    except ValueError:
        try:
            wait = parsedate_to_datetime(retry_after or "").timestamp() - time.time()
        except ValueError:
            wait = 1.0
    return min(max(wait, 0.0), MAX_WAIT) if math.isfinite(wait) else MAX_WAIT


def _jitter(attempt: int) -> float:
    return random.uniform(0.2, 0.5) * 2**attempt  # noqa: S311 - not a secret


class Clouds:
    """Connections by (cloud, project), and views by (cloud, project, migration); the latest few of each are kept.

    A cloud that doesn't answer holds up who wants that one, and nobody else.
    """

    def __init__(self, concurrency: int, timeout: float, keep: int = 16) -> None:
        self.concurrency, self.timeout, self.keep = concurrency, timeout, keep
        self._gates: dict[str, Gate] = {}
        self._connections: OrderedDict[Any, Any] = OrderedDict()
        self._views: OrderedDict[Any, View] = OrderedDict()
        self._lock = threading.Lock()  # of these; nothing is asked of a cloud meanwhile
        self._connecting: defaultdict[Any, threading.Lock] = defaultdict(threading.Lock)

    def view(self, place: dict[str, Any], run: str) -> View:
        """Return the view of a project for one run; raise CloudError with what to do."""
        key = (place["cloud"], place.get("project"), run)
        with self._lock:
            if view := _latest(self._views, key):
                return view
            connecting = self._connecting[key[:2]]
        with connecting:
            with self._lock:
                if view := _latest(self._views, key):
                    return view
            connection, access = self._connection(place)
            view = View(connection, access.project_id, "admin" in access.role_names, place["cloud"])
            with self._lock:
                _keep(self._views, key, view, self.keep)
            return view

    def drop(self, run: str) -> None:
        """Forget the views of a run."""
        with self._lock:
            for key in [k for k in self._views if k[2] == run]:
                del self._views[key]

    def check(self, place: dict[str, Any]) -> dict[str, Any]:
        """Say what a cloud's credentials are and allow, as it is now; raise CloudError soon."""
        _, access = self._connect(place, QUESTION, tries=1)
        return {
            "cloud": place["cloud"],
            "user": access.username,
            "project": access.project_name,
            "project_id": access.project_id,
            "roles": sorted(access.role_names),
            "services": sorted({s["type"] for s in access.service_catalog.catalog}),
        }

    def _connection(self, place: dict[str, Any]) -> tuple[Any, Any]:
        """A connection, and what keystone says of it; what was kept is made anew when it's refused by now."""
        key = (place["cloud"], place.get("project"))
        with self._lock:
            kept = _latest(self._connections, key)
        if kept is not None:
            with explained(place), suppress(ks.Unauthorized):
                return kept, _access(kept)
        connection, access = self._connect(place, self.timeout, TRIES)
        with self._lock:
            _keep(self._connections, key, connection, CONNECTIONS)
        return connection, access

    def _connect(self, place: dict[str, Any], timeout: float, tries: int) -> tuple[Any, Any]:
        with explained(place):
            connection = self._connected(place, timeout, tries)
            access = _access(connection)
        if access.project_id is None:
            text = f"the credentials of cloud {place['cloud']!r} name no project; add project_name to clouds.yaml"
            raise CloudError(text)
        return connection, access

    def _connected(self, place: dict[str, Any], timeout: float, tries: int) -> Any:
        cloud, project = place["cloud"], place.get("project")
        region = openstack.config.OpenStackConfig().get_one(cloud=cloud)
        auth = dict(region.config.get("auth") or {})
        if project:
            for name in ("project_name", "project_id", "tenant_name", "tenant_id"):
                auth.pop(name, None)
            auth["project_name"] = project
        options: dict[str, Any] = {"auth": auth} if project else {}
        connection = openstack.connect(
            cloud=cloud, app_name="stackferry", app_version="0.1.0", api_timeout=timeout, **options
        )
        no_other_retries(connection.config.config)
        gate = self._gates.setdefault(cloud, Gate(self.concurrency))
        session = connection.session.session
        for scheme in ("http://", "https://"):
            session.mount(scheme, PatientAdapter(gate, tries, pool_maxsize=self.concurrency))
        return connection


def _latest(kept: OrderedDict[Any, Any], key: Any) -> Any:
    if key in kept:
        kept.move_to_end(key)
    return kept.get(key)


def _keep(kept: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    kept[key] = value
    while len(kept) > most:
        kept.popitem(last=False)


def no_other_retries(config: dict[str, Any]) -> None:
    """keystoneauth would repeat requests below the adapter that knows which ones may be, and wait for hours.

    openstacksdk has it do so for images; clouds.yaml may for any service.
    """
    for name in (*config, "connect_retries", "status_code_retries"):
        if name.endswith(("connect_retries", "status_code_retries")):
            config[name] = 0


def _access(connection: Any) -> Any:
    """Keystone's answer to the authentication: user, project, roles, catalogue."""
    return connection.session.auth.get_access(connection.session)


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


def over_quota(error: Exception) -> bool:
    """Whether a cloud refuses because the project has used up a quota."""
    status = getattr(error, "status_code", None) or getattr(error, "http_status", None)
    return status in (403, 409, 413) and "quota" in _first_line(error).lower()


def _first_line(error: BaseException) -> str:
    details = getattr(error, "details", None)
    text = f"{error}" if not details or str(details) in str(error) else f"{error}: {details}"
    return (text.strip().splitlines() or [type(error).__name__])[0][:500]
