"""Sessions with OpenStack clouds, by openstacksdk: connections and views, kept while they're needed."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import openstack
from keystoneauth1 import exceptions as ks
from keystoneauth1 import identity

from .adapter import TRIES, Gate, PatientAdapter
from .failures import CloudError, explained, failure
from .view import ProjectView

QUESTION = 10.0  # seconds that a cloud gets where a person waits to hear how it is
CONNECTIONS = 64  # that are kept
T = TypeVar("T")


class Settings(Protocol):
    """What a service that talks to clouds is set to."""

    @property
    def cloud_concurrency(self) -> int:
        """Requests to one cloud at once."""

    @property
    def cloud_timeout(self) -> float:
        """Seconds that a cloud gets to answer."""


class Clouds:
    """Connections by (cloud, project), and views by (cloud, project, migration); the latest few of each are kept.

    A cloud that doesn't answer holds up who wants that one, and nobody else.
    """

    @classmethod
    def of(cls, settings: Settings) -> Clouds:
        """The connections of a service."""
        return cls(settings.cloud_concurrency, settings.cloud_timeout)

    def __init__(self, concurrency: int, timeout: float, keep: int = 16) -> None:
        self.concurrency, self.timeout, self.keep = concurrency, timeout, keep
        self._gates: dict[str, Gate] = {}
        self._connections: OrderedDict[Any, Any] = OrderedDict()
        self._views: OrderedDict[Any, ProjectView] = OrderedDict()
        self._lock = threading.Lock()  # of these; nothing is asked of a cloud meanwhile
        self._connecting: defaultdict[Any, threading.Lock] = defaultdict(threading.Lock)

    def view(self, place: dict[str, Any], run: str) -> ProjectView:
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
            view = ProjectView(connection, access.project_id, "admin" in access.role_names, place["cloud"])
            with self._lock:
                _keep(self._views, key, view, self.keep)
            return view

    def drop(self, run: str) -> None:
        """Forget the views of a run."""
        with self._lock:
            for key in [k for k in self._views if k[2] == run]:
                del self._views[key]

    def answer(self, place: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of an Answer to CheckCloud."""
        try:
            return {"content": self.check(place)}
        except Exception as error:  # whoever asked waits for an answer
            return {"error": failure(error)[1]}

    def check(self, place: dict[str, Any]) -> dict[str, Any]:
        """Say what a cloud's credentials are and allow, as it is now; raise CloudError soon."""
        connection, access = self._connect(place, QUESTION, tries=1)
        config = connection.config
        return {
            "cloud": place["cloud"],
            "auth_url": _without_password((config.config.get("auth") or {}).get("auth_url")),
            "region": config.region_name or None,
            "user": access.username,
            "user_id": access.user_id,
            "user_domain": access.user_domain_name,
            "user_domain_id": access.user_domain_id,
            "project": access.project_name,
            "project_id": access.project_id,
            "project_domain": access.project_domain_name,
            "project_domain_id": access.project_domain_id,
            "application_credential_id": getattr(access, "application_credential_id", None),
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
            try:
                access = _access(connection)
            except ks.Unauthorized:
                if user := _known_without_project(connection):
                    raise CloudError(_no_role(place, connection, user)) from None
                raise
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


def _without_password(url: str | None) -> str | None:
    """A URL may name a user and a password before its host."""
    if not url:
        return None
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _latest(kept: OrderedDict[Any, T], key: Any) -> T | None:
    if key in kept:
        kept.move_to_end(key)
    return kept.get(key)


def _keep(kept: OrderedDict[Any, T], key: Any, value: T, most: int) -> None:
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


#: what a password alone needs
_WHO = ("auth_url", "username", "user_id", "password", "user_domain_name", "user_domain_id", "default_domain_name",
        "default_domain_id")  # fmt: skip


def _known_without_project(connection: Any) -> str | None:
    """The name of the user whose password is right, though keystone gives no token for the project."""
    auth = connection.config.config.get("auth") or {}
    if "password" not in auth:
        return None
    plugin = identity.generic.Password(**{name: auth[name] for name in _WHO if auth.get(name)})
    try:
        return str(plugin.get_access(connection.session).username)
    except ks.ClientException:
        return None


def _no_role(place: dict[str, Any], connection: Any, user: str) -> str:
    auth = connection.config.config["auth"]
    project = place.get("project") or auth.get("project_name") or auth.get("project_id")
    return (
        f"cloud {place['cloud']!r}: the password of {user!r} is right, and they have no role in project {project!r}, "
        f"or there is no such project: `openstack role add --user {user} --project {project} member` gives them one"
    )


def _access(connection: Any) -> Any:
    """Keystone's answer to the authentication: user, project, roles, catalogue."""
    return connection.session.auth.get_access(connection.session)
