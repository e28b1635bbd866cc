"""nova virt driver: nova's own fake driver, plus a folder of real files for each server.

    <sandbox_hosts>/<server id>/
        dev/disk/by-id/virtio-<volume id, 20 characters>   link to the volume's file
        dev/vda, dev/vdb ...                               links to the same files
        root.raw                                           root disk of a server booted from an image
        server.json                                        name, power state, metadata, networks ...
        user_data                                          decoded

The links end in regular files, not in block devices.
"""

import base64
import shutil
from pathlib import Path
from typing import Any

import nova.conf
from nova import exception
from nova.compute import power_state, task_states
from nova.virt import fake
from oslo_config import cfg

from stackferry_inside import server_images
from stackferry_inside.server_folder import ServerFolder, describe

CONF = nova.conf.CONF
CONF.register_opts([cfg.StrOpt("sandbox_hosts", default="$state_path/hosts")])


def folder_of(instance: Any) -> ServerFolder:
    """The folder of a server."""
    return ServerFolder(Path(CONF.sandbox_hosts) / instance.uuid)


def volume_of(connection_info: dict[str, Any]) -> tuple[Path, str]:
    """The file and the id of a volume that is being attached or detached."""
    data = connection_info["data"]
    return Path(data["device_path"]), connection_info.get("serial") or data["volume_id"]


class FolderDriver(fake.FakeDriverWithoutFakeNodes):  # type: ignore[misc]
    """One compute host. (The plain FakeDriver makes a new node at each restart.)"""

    capabilities = {
        **fake.FakeDriver.capabilities,
        "supports_migrate_to_same_host": True,
        "supports_image_type_qcow2": True,
        "supports_bfv_rescue": True,
    }

    def init_host(self, host: str) -> None:
        """Remember the servers of before a restart."""
        super().init_host(host)
        hosts = Path(CONF.sandbox_hosts)
        hosts.mkdir(parents=True, exist_ok=True)
        for path in hosts.iterdir():
            if known := ServerFolder(path).read():
                state = known["power_state"]
                self.instances[path.name] = fake.FakeInstance(known["nova_name"], state, path.name)
                self.resources.claim(known["vcpus"], known["ram"], known["disk"])

    def default_root_device_name(self, instance: Any, image_meta: Any, root_bdm: Any) -> str:
        """As libvirt with virtio has it (nova's own default is sda); the other disks follow."""
        return "/dev/vda"

    # -- servers

    def spawn(
        self,
        context: Any,
        instance: Any,
        image_meta: Any,
        injected_files: Any,
        admin_password: Any,
        allocations: Any,
        network_info: Any = None,
        block_device_info: Any = None,
        *more: Any,
        **options: Any,
    ) -> None:
        """Make the server's folder with its disks."""
        folder = folder_of(instance)
        folder.make()
        devices = block_device_info or {}
        mappings = devices.get("block_device_mapping") or []
        root = devices.get("root_device_name") or instance.root_device_name
        for mapping in mappings:
            folder.plug(*volume_of(mapping["connection_info"]), mapping["mount_device"])
        if instance.image_ref and not any(mapping["mount_device"] == root for mapping in mappings):
            server_images.download(context, instance, folder)
            folder.link_device(folder.root_disk, root or "vda")
        if instance.user_data:
            folder.user_data.write_bytes(base64.b64decode(instance.user_data))
        given = (context, instance, image_meta, injected_files, admin_password, allocations)
        super().spawn(*given, network_info, block_device_info, *more, **options)
        self._save(instance, network_info)

    def destroy(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        destroy_disks: bool = True,
        destroy_secrets: bool = True,
    ) -> None:
        """Remove the folder, or only the devices if the disks are to stay."""
        super().destroy(context, instance, network_info, block_device_info, destroy_disks, destroy_secrets)
        folder = folder_of(instance)
        shutil.rmtree(folder.path if destroy_disks else folder.devices, ignore_errors=True)

    def snapshot(self, context: Any, instance: Any, image_id: str, update_task_state: Any) -> None:
        """Upload the root disk as an image."""
        super().snapshot(context, instance, image_id, update_task_state)
        uploading = task_states.IMAGE_UPLOADING
        update_task_state(task_state=uploading, expected_state=uploading)
        server_images.upload(context, instance, folder_of(instance), image_id)

    # -- volumes

    def attach_volume(
        self, context: Any, connection_info: Any, instance: Any, mountpoint: str, *more: Any, **options: Any
    ) -> None:
        """Make a volume's links appear."""
        super().attach_volume(context, connection_info, instance, mountpoint, *more, **options)
        folder_of(instance).plug(*volume_of(connection_info), mountpoint)

    def detach_volume(
        self, context: Any, connection_info: Any, instance: Any, mountpoint: str, *more: Any, **options: Any
    ) -> None:
        """Make a volume's links vanish."""
        super().detach_volume(context, connection_info, instance, mountpoint, *more, **options)
        folder_of(instance).unplug(volume_of(connection_info)[0])

    def swap_volume(
        self,
        context: Any,
        old_connection_info: Any,
        new_connection_info: Any,
        instance: Any,
        mountpoint: str,
        resize_to: int,
    ) -> None:
        """Put one volume in another's place."""
        volumes = (old_connection_info, new_connection_info)
        super().swap_volume(context, *volumes, instance, mountpoint, resize_to)
        folder = folder_of(instance)
        folder.unplug(volume_of(old_connection_info)[0])
        folder.plug(*volume_of(new_connection_info), mountpoint)

    # -- power

    def power_off(self, instance: Any, timeout: int = 0, retry_interval: int = 0) -> None:
        """Say that the server is off."""
        super().power_off(instance, timeout, retry_interval)
        self._save(instance)

    def power_on(self, context: Any, instance: Any, network_info: Any, *args: Any, **options: Any) -> None:
        """Say that the server is on."""
        super().power_on(context, instance, network_info, *args, **options)
        self._save(instance)

    def pause(self, instance: Any) -> None:
        """Say that the server is paused."""
        self._set_power_state(instance, power_state.PAUSED)

    def unpause(self, instance: Any) -> None:
        """Say that the server runs."""
        self._set_power_state(instance, power_state.RUNNING)

    def suspend(self, context: Any, instance: Any) -> None:
        """Say that the server is suspended."""
        self._set_power_state(instance, power_state.SUSPENDED)

    def resume(self, context: Any, instance: Any, network_info: Any, *more: Any, **options: Any) -> None:
        """Say that the server runs."""
        self._set_power_state(instance, power_state.RUNNING)

    def get_console_output(self, context: Any, instance: Any) -> bytes:
        """There is no guest, and so no console."""
        return f"{instance.uuid} has no guest and prints nothing\n".encode()

    def _set_power_state(self, instance: Any, state: int) -> None:
        if instance.uuid not in self.instances:
            raise exception.InstanceNotFound(instance_id=instance.uuid)
        self.instances[instance.uuid].state = state
        self._save(instance)

    def _save(self, instance: Any, network_info: Any = None) -> None:
        folder_of(instance).update(describe(instance, self.instances[instance.uuid].state, network_info))
