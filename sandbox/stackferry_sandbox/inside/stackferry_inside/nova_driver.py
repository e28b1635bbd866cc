"""nova virt driver: nova's own fake driver, plus a folder of real files for each server.

    <sandbox_hosts>/<server id>/
        dev/disk/by-id/virtio-<volume id, 20 characters>   link to the volume's file
        dev/vda, dev/vdb ...                               links to the same files
        root.raw                                           root disk of a server booted from an image
        server.json                                        name, power state, metadata, networks ...
        user_data                                          decoded

The links end in regular files, or in block devices if the user data asks for transfer agents: then the folder also
has their etc/stackferry, var/lib/stackferry, var/log and run.
"""

import base64
from pathlib import Path
from typing import Any

from nova import objects
from nova.compute import task_states
from nova.virt import fake

from stackferry_inside import server_images
from stackferry_inside.nova_power import CONF, PowerDriver, machine_of
from stackferry_inside.server_folder import ServerFolder


def volume_of(connection_info: dict[str, Any]) -> tuple[Path, str]:
    """The file and the id of a volume that is being attached or detached."""
    data = connection_info["data"]
    return Path(data["device_path"]), connection_info.get("serial") or data["volume_id"]


def note_tags(context: Any, instance: Any) -> None:
    """Note which volumes have tags, as libvirt's driver does: without that, nova can't detach one that has."""
    mappings = objects.BlockDeviceMappingList.get_by_instance_uuid(context, instance.uuid)
    tagged = [one for one in mappings if one.tag and one.volume_id]
    devices = [objects.DiskMetadata(tags=[one.tag], serial=one.volume_id, bus=objects.DeviceBus()) for one in tagged]
    instance.device_metadata = objects.InstanceDeviceMetadata(devices=devices)
    instance.save()


class FolderDriver(PowerDriver):
    """One compute host."""

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
        """Make the server's folder with its disks, and switch it on."""
        machine = machine_of(instance)
        machine.make(base64.b64decode(instance.user_data or ""))
        devices = block_device_info or {}
        mappings = devices.get("block_device_mapping") or []
        root = devices.get("root_device_name") or instance.root_device_name
        for mapping in mappings:
            machine.plug(*volume_of(mapping["connection_info"]), mapping["mount_device"])
        if instance.image_ref and not any(mapping["mount_device"] == root for mapping in mappings):
            server_images.download(context, instance, machine.folder)
            machine.folder.link_device(machine.folder.root_disk, root or "vda")
        given = (context, instance, image_meta, injected_files, admin_password, allocations)
        super().spawn(*given, network_info, block_device_info, *more, **options)
        self.save(instance, network_info)
        note_tags(context, instance)
        if machine.runs:
            machine.power_on()

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
        machine_of(instance).remove(with_disks=destroy_disks)

    def snapshot(self, context: Any, instance: Any, image_id: str, update_task_state: Any) -> None:
        """Upload the root disk as an image."""
        super().snapshot(context, instance, image_id, update_task_state)
        uploading = task_states.IMAGE_UPLOADING
        update_task_state(task_state=uploading, expected_state=uploading)
        server_images.upload(context, instance, machine_of(instance).folder, image_id)

    # -- volumes

    def attach_volume(
        self, context: Any, connection_info: Any, instance: Any, mountpoint: str, *more: Any, **options: Any
    ) -> None:
        """Make a volume's links appear."""
        super().attach_volume(context, connection_info, instance, mountpoint, *more, **options)
        machine_of(instance).plug(*volume_of(connection_info), mountpoint)
        note_tags(context, instance)

    def detach_volume(
        self, context: Any, connection_info: Any, instance: Any, mountpoint: str, *more: Any, **options: Any
    ) -> None:
        """Make a volume's links vanish."""
        super().detach_volume(context, connection_info, instance, mountpoint, *more, **options)
        machine_of(instance).unplug(volume_of(connection_info)[0])

    def extend_volume(self, context: Any, connection_info: Any, instance: Any, requested_size: int) -> None:
        """Show that a volume has grown."""
        machine_of(instance).grow(volume_of(connection_info)[0])

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
        machine = machine_of(instance)
        machine.unplug(volume_of(old_connection_info)[0])
        machine.plug(*volume_of(new_connection_info), mountpoint)

    # -- the rest

    def detach_interface(self, context: Any, instance: Any, vif: Any) -> None:
        """Forget an interface; after a restart nova's fake knows none, and would refuse."""
        self._interfaces.pop(vif["id"], None)

    def get_console_output(self, context: Any, instance: Any) -> bytes:
        """There is no guest, and so no console."""
        return f"{instance.uuid} has no guest and prints nothing\n".encode()
