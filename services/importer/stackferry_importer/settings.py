"""The importer's settings."""

from __future__ import annotations

from dataclasses import dataclass

from stackferry_runtime.settings import Common, setting


@dataclass(frozen=True)
class Settings(Common):
    """The importer: writes destination clouds. clouds.yaml says which (OS_CLIENT_CONFIG_FILE)."""

    cloud_concurrency: int = setting(8, "API calls at once per cloud; an overloaded cloud gets fewer by itself")
    cloud_timeout: float = setting(60.0, "seconds that one API call may take")
