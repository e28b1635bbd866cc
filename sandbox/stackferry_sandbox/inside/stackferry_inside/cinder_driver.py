"""cinder volume driver: a volume is a sparse raw file of its logical size."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from cinder import exception, interface
from cinder.image import image_utils
from cinder.volume import driver
from oslo_config import cfg

OPTIONS = [cfg.StrOpt("sandbox_volumes", default="$state_path/files")]
GIB = 1 << 30


def copy(source: Path, target: Path, size_gib: int | None = None) -> None:
    """Copy a file, keeping its holes; grow the copy if a size is given."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", source, target], check=True)
    if size_gib:
        os.truncate(target, size_gib * GIB)


@interface.volumedriver
class FileDriver(driver.VolumeDriver):  # type: ignore[misc]
    """Keeps volumes and snapshots as files in one folder."""

    VERSION = "0.1.0"
    CI_WIKI_NAME = "none"

    def __init__(self, *args: Any, **options: Any) -> None:
        """Read the driver's options."""
        super().__init__(*args, **options)
        self.configuration.append_config_values(OPTIONS)
        self.folder = Path(self.configuration.sandbox_volumes)

    @staticmethod
    def get_driver_options() -> list[Any]:
        """The options that are ours."""
        return OPTIONS

    def do_setup(self, context: Any) -> None:
        """Create the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def check_for_setup_error(self) -> None:
        """Nothing can be wrong with a folder."""

    def file_of(self, item: Any) -> Path:
        """The file of a volume or a snapshot."""
        return self.folder / item.name

    def local_path(self, volume: Any) -> str:
        """Where a volume is found on this host."""
        return str(self.file_of(volume))

    def get_volume_stats(self, refresh: bool = False) -> dict[str, Any]:
        """What the scheduler has to know."""
        disk = os.statvfs(self.folder)
        pool = {
            "pool_name": "pool",
            "multiattach": True,
            "QoS_support": False,
            "reserved_percentage": 0,
            "thin_provisioning_support": True,
            # Volumes are mostly holes: as many as one likes fit.
            "max_over_subscription_ratio": "1000.0",
            "provisioned_capacity_gb": 0,
            "total_capacity_gb": disk.f_blocks * disk.f_frsize / GIB,
            "free_capacity_gb": disk.f_bavail * disk.f_frsize / GIB,
        }
        return {
            "volume_backend_name": self.configuration.safe_get("volume_backend_name") or "file",
            "vendor_name": "Stackferry",
            "driver_version": self.VERSION,
            "storage_protocol": "local",
            "multiattach": True,
            "online_extend_support": True,
            "pools": [pool],
        }

    # -- volumes

    def create_volume(self, volume: Any) -> None:
        """Make an empty volume."""
        with self.file_of(volume).open("xb") as file:
            file.truncate(volume.size * GIB)

    def delete_volume(self, volume: Any) -> None:
        """Remove a volume."""
        self.file_of(volume).unlink(missing_ok=True)

    def extend_volume(self, volume: Any, new_size: int) -> None:
        """Make a volume larger, even while it is attached."""
        os.truncate(self.file_of(volume), new_size * GIB)

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> None:
        """Copy a volume."""
        copy(self.file_of(src_vref), self.file_of(volume), volume.size)

    def update_migrated_volume(self, ctxt: Any, volume: Any, new_volume: Any, original_status: str) -> dict[str, None]:
        """Give a migrated volume the name that its first owner knows."""
        shutil.move(self.file_of(new_volume), self.file_of(volume))
        return {"_name_id": None, "provider_location": None}

    # -- snapshots

    def create_snapshot(self, snapshot: Any) -> None:
        """Copy a volume's present content."""
        copy(self.file_of(snapshot.volume), self.file_of(snapshot))

    def delete_snapshot(self, snapshot: Any) -> None:
        """Remove a snapshot."""
        self.file_of(snapshot).unlink(missing_ok=True)

    def create_volume_from_snapshot(self, volume: Any, snapshot: Any) -> None:
        """Make a volume of a snapshot's content."""
        copy(self.file_of(snapshot), self.file_of(volume), volume.size)

    def revert_to_snapshot(self, context: Any, volume: Any, snapshot: Any) -> None:
        """Bring back a snapshot's content into the same inode: somebody may have it open."""
        path = self.file_of(volume)
        os.truncate(path, 0)
        os.truncate(path, volume.size * GIB)
        ends = [f"if={self.file_of(snapshot)}", f"of={path}"]
        subprocess.run(["dd", *ends, "bs=1M", "conv=notrunc,sparse", "status=none"], check=True)

    # -- images

    def clone_image(
        self, context: Any, volume: Any, image_location: Any, image_meta: dict[str, Any], image_service: Any
    ) -> tuple[dict[str, Any] | None, bool]:
        """Fill a volume from a raw image, here and now. Other formats go cinder's way, through qemu-img."""
        if image_meta["disk_format"] != "raw":
            return None, False
        path = self.file_of(volume)
        with path.open("wb") as file:
            image_service.download(context, image_meta["id"], file)
        subprocess.run(["fallocate", "--dig-holes", path], check=False)  # where the file system can't, it stays large
        os.truncate(path, volume.size * GIB)
        return {}, True

    def copy_image_to_volume(
        self, context: Any, volume: Any, image_service: Any, image_id: str, disable_sparse: bool = False
    ) -> None:
        """Fill a volume from an image."""
        path = self.local_path(volume)
        image_utils.fetch_to_raw(context, image_service, image_id, path, "1M", size=volume.size, run_as_root=False)
        os.truncate(path, volume.size * GIB)

    def copy_volume_to_image(self, context: Any, volume: Any, image_service: Any, image_meta: Any) -> None:
        """Make an image of a volume."""
        image_utils.upload_volume(context, image_service, image_meta, self.local_path(volume), run_as_root=False)

    # -- files that come from elsewhere

    def existing(self, reference: dict[str, str]) -> Path:
        """The file that is to become a volume."""
        path = self.folder / Path(reference.get("source-name", "")).name
        if not path.is_file():
            raise exception.ManageExistingInvalidReference(existing_ref=reference, reason="no such file")
        return path

    def manage_existing(self, volume: Any, existing_ref: dict[str, str]) -> None:
        """Take a file as a volume."""
        self.existing(existing_ref).rename(self.file_of(volume))

    def manage_existing_get_size(self, volume: Any, existing_ref: dict[str, str]) -> int:
        """The size of such a file in GiB, rounded up."""
        return -(-self.existing(existing_ref).stat().st_size // GIB)

    def unmanage(self, volume: Any) -> None:
        """Forget a volume and leave its file."""

    # -- connections: the compute host is in the same file system

    def initialize_connection(self, volume: Any, connector: Any, **_: Any) -> dict[str, Any]:
        """Tell nova where the file is."""
        return {
            "driver_volume_type": "local",
            "data": {"device_path": self.local_path(volume), "volume_id": volume.id},
        }

    def terminate_connection(self, volume: Any, connector: Any, **_: Any) -> None:
        """Nothing was connected."""

    def ensure_export(self, context: Any, volume: Any) -> None:
        """Nothing is exported."""

    def create_export(self, context: Any, volume: Any, connector: Any) -> None:
        """Nothing is exported."""

    def remove_export(self, context: Any, volume: Any) -> None:
        """Nothing is exported."""
