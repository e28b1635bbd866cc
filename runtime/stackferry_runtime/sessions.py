"""The clouds as a dependency of a nameko service."""

from __future__ import annotations

from typing import Any

from nameko.extensions import DependencyProvider
from stackferry.resources.view import View

from .clouds import Clouds
from .failures import failure


class Sessions(DependencyProvider):
    """``self.clouds`` in a handler."""

    def setup(self) -> None:
        settings = self.container.config["settings"]
        self.clouds = Clouds(settings.cloud_concurrency, settings.cloud_timeout)

    def get_dependency(self, worker_ctx: Any) -> Sessions:
        return self

    def view(self, place: dict[str, Any], run: str) -> View:
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
