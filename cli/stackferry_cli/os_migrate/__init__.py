"""OS Migrate's variables file: what it says, what of it has no effect, and whether the running system is meant."""

from .file import (
    FILTERS,
    STOP,
    boot_disk_copy,
    clouds,
    data_dir,
    filters,
    image_blobs_dir,
    leaves_running,
    read,
    value,
    wants_image_blobs,
    write_clouds,
)
from .same_cloud import OPTIONS, check
from .table import unknown, without_effect

__all__ = [
    "FILTERS",
    "OPTIONS",
    "STOP",
    "boot_disk_copy",
    "check",
    "clouds",
    "data_dir",
    "filters",
    "image_blobs_dir",
    "leaves_running",
    "read",
    "unknown",
    "value",
    "wants_image_blobs",
    "without_effect",
    "write_clouds",
]
