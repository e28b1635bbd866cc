"""The clouds as a service has them: its connections, by its settings."""

from __future__ import annotations

from typing import Any, Protocol

from .connections import Clouds
from .failures import failure
from .view import ProjectView


class Settings(Protocol):
    """What a service that talks to clouds is set to."""

    @property
    def cloud_concurrency(self) -> int:
        """Requests to one cloud at once."""

    @property
    def cloud_timeout(self) -> float:
        """Seconds that a cloud gets to answer."""


class Sessions:
    """The connections of one process."""

    def __init__(self, settings: Settings) -> None:
        self.clouds = Clouds(settings.cloud_concurrency, settings.cloud_timeout)

    def view(self, place: dict[str, Any], run: str) -> ProjectView:
        """Return the view of a project for one run."""
        return self.clouds.view(place, run)

    def drop(self, run: str) -> None:
        """Forget the views of a run."""
        self.clouds.drop(run)

    def answer(self, place: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of an Answer to CheckCloud."""
        try:
            return {"content": self.clouds.check(place)}
        except Exception as error:  # whoever asked waits for an answer
            return {"error": failure(error)[1]}
