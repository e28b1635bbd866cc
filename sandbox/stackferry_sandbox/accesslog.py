"""Read what the services log about their API requests."""

import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stackferry_sandbox.configs.common import SERVICE_USER
from stackferry_sandbox.layout import CloudPaths


@dataclass(frozen=True)
class Request:
    """One API request that a service has answered."""

    time: datetime
    """When it came."""
    service: str
    method: str
    path: str
    query: str
    status: int | None
    """None if the connection was cut instead of an answer."""
    ms: float
    """How long it took until the answer began."""
    user: str | None
    """The name of the user whose token it carried."""
    project_id: str | None
    service_user: str | None
    """The service that forwarded that user's token, if one did."""
    agent: str | None
    """The whole User-Agent."""
    request_id: str | None
    global_request_id: str | None
    """The id that the caller gave: the same for all requests that came of one."""
    peer: str
    """Address and port of the caller."""
    fault: str | None
    """The id of the fault rule that acted on it."""

    @property
    def internal(self) -> bool:
        """Whether one of the cloud's own services asked, for itself or for a user."""
        return SERVICE_USER in (self.user, self.service_user)


def parse(service: str, line: str) -> Request:
    """The request that a line of a service's log describes."""
    fields: dict[str, Any] = json.loads(line)
    when = datetime.fromtimestamp(fields.pop("time"), UTC)
    return Request(time=when, service=service, **fields)


def read_file(path: Path, service: str, since: float) -> Iterator[Request]:
    """The requests in one log from a time on."""
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                # The last line may be on its way; a killed service can't leave half a line elsewhere.
                if line.endswith("\n"):
                    request = parse(service, line)
                    if request.time.timestamp() >= since:
                        yield request
    except FileNotFoundError:
        return


def read(paths: CloudPaths, services: Iterable[str], since: datetime | float | None = None) -> Iterator[Request]:
    """The requests that services of a cloud have answered, in order of time.

    Within a service, requests are in order of their end, and are sorted here by when they came.

    Args:
        paths: the cloud.
        services: which services.
        since: leave out what came before: a time, or seconds since 1970.
    """
    start = since.timestamp() if isinstance(since, datetime) else since or 0.0
    logs = [
        sorted(read_file(paths.access_log(service), service, start), key=lambda request: request.time)
        for service in services
    ]
    return heapq.merge(*logs, key=lambda request: request.time)
