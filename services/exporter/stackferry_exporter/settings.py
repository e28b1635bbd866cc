"""The exporter's settings."""

from __future__ import annotations

from dataclasses import dataclass

from marshmallow import validate
from stackferry_runtime.settings import Common, setting


@dataclass(frozen=True)
class Settings(Common):
    """The exporter: reads source clouds. clouds.yaml says which (OS_CLIENT_CONFIG_FILE)."""

    cloud_concurrency: int = setting(
        8, "API calls at once per cloud; an overloaded cloud gets fewer by itself", validate.Range(1)
    )
    cloud_timeout: float = setting(60.0, "seconds that one API call may take", validate.Range(0, min_inclusive=False))
    state_dir: str = setting("", "where its key and certificate stay; empty: new ones at every start")
    offer_address: str = setting(
        "127.0.0.1", "address that it offers payloads at, which importers must reach; empty: the name of this host"
    )
    offer_timeout: float = setting(
        60.0, "seconds that an offered payload waits for an importer", validate.Range(0, min_inclusive=False)
    )
    image_jobs: int = setting(
        4, "payloads of images that it sends at once; each is a process of about 70 MB", validate.Range(1)
    )
    blobs_dir: str = setting("", "folder in which exports may leave payloads of images as files; empty: nowhere")
