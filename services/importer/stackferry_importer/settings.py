"""The importer's settings."""

from __future__ import annotations

from dataclasses import dataclass

from marshmallow import validate
from stackferry_runtime.settings import Common, setting


@dataclass(frozen=True)
class Settings(Common):
    """The importer: writes destination clouds. clouds.yaml says which (OS_CLIENT_CONFIG_FILE)."""

    cloud_concurrency: int = setting(
        8, "API calls at once per cloud; an overloaded cloud gets fewer by itself", validate.Range(1)
    )
    cloud_timeout: float = setting(60.0, "seconds that one API call may take", validate.Range(0, min_inclusive=False))
    state_dir: str = setting("", "where its key and certificate stay; empty: new ones at every start")
    image_jobs: int = setting(
        16, "payloads of images that it takes in at once; each is a process of about 70 MB", validate.Range(1)
    )
    blobs_dir: str = setting("", "folder in which payloads of images may be read from files; empty: nowhere")
