"""What handlers need and nameko knows nothing of, such as the clouds: made once a process, of its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nameko.extensions import DependencyProvider


class Provided(DependencyProvider):
    """``thing = Provided(make)`` in a service: ``self.thing`` in a handler is what ``make(settings)`` returned."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make

    def setup(self) -> None:
        self.value = self.make(self.container.config["settings"])

    def get_dependency(self, worker_ctx: Any) -> Any:
        return self.value
