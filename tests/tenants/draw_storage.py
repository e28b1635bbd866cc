"""Images and volumes of a random tenant, with few bytes in them."""

from __future__ import annotations

from .description import Body, Description, Thing, ref
from .draw import NAMES, Draw

IMAGE_PROPERTIES = {
    "hw_firmware_type": ("uefi", "bios"), "hw_machine_type": ("q35", "pc"), "hw_disk_bus": ("scsi", "virtio"),
    "hw_qemu_guest_agent": ("yes", "no"), "os_distro": ("debian", "fedora"), "os_version": ("12", "9.4"),
    "os_require_quiesce": ("yes",), "hw_vif_multiqueue_enabled": ("true", "false"), "architecture": ("x86_64",),
    "my_own": ("value", "größe", "0", "None", ""), "a:b/c": ("1",), "hw_scsi_model": ("virtio-scsi",),
    "hw_video_ram": ("16",), "os_admin_user": ("root",), "img_config_drive": ("optional",), "os_secure_boot": ("optional",),
}  # fmt: skip
METADATA = {"tier": ("gold", ""), "size": ("groß",), "long": ("z" * 255,), "a.b:c": ("1",), "true": ("True",)}


def properties(draw: Draw, among: dict[str, tuple[str, ...]], most: int, feature: str) -> dict[str, str]:
    """Some names with values."""
    return {name: draw.random.choice(among[name]) for name in draw.some(list(among), most, feature)}


def image(draw: Draw, made: Description) -> Thing:
    """An image with some KiB of noise."""
    body: Body = {"name": draw.name("image"), "disk_format": "raw", "container_format": "bare",
                  "visibility": draw.pick(("private", "private", "shared", "community"), "image")}  # fmt: skip
    if draw.chance(0.2, "image hidden"):
        body["os_hidden"] = True
    if draw.chance(0.2, "image protected"):
        body["protected"] = True
    if draw.chance(0.3, "image min_disk"):
        body["min_disk"] = 1
    if draw.chance(0.3, "image min_ram"):
        body["min_ram"] = draw.pick((64, 512), "image min_ram")
    body |= properties(draw, IMAGE_PROPERTIES, 5, "image properties")
    tags = draw.tags("image")
    payload = (
        None
        if draw.chance(0.1, "image without payload")
        else [draw.random.randrange(1 << 30), draw.random.randint(1, 60)]
    )
    return made.add("image", body | ({"tags": tags} if tags else {}), payload=payload)


def has_payload(thing: Thing) -> bool:
    """Whether a server can start from an image."""
    return bool(thing.more.get("payload"))


def volume(draw: Draw, made: Description, *, bootable: bool = False, of: Thing | None = None) -> Thing:
    """A volume of 1 GiB with up to 3 MiB of noise."""
    body: Body = {"size": 1, "name": draw.name("volume"), "description": draw.description("volume")}
    if draw.chance(0.4, "volume metadata"):
        body["metadata"] = properties(draw, METADATA, 3, "volume metadata")
    if of is not None:
        body["imageRef"] = ref(of)
    if draw.chance(0.2, "volume in a zone"):
        body["availability_zone"] = "nova"
    told = {}
    if draw.chance(0.35, "volume image metadata"):
        told = properties(draw, {n: v for n, v in IMAGE_PROPERTIES.items() if v != ("",)}, 4, "volume image metadata")
    return made.add(
        "volume", body, bootable=bootable, image_metadata=told, readonly=draw.chance(0.08, "volume read-only"),
        blocks=sorted(draw.random.sample(range(1024), draw.number(0, 3, "MiB in a volume"))),
        seed=draw.random.randrange(1 << 30),
    )  # fmt: skip


def detached(draw: Draw, made: Description) -> Thing:
    """A volume that is attached to nothing, maybe with a snapshot."""
    found = volume(draw, made, bootable=draw.chance(0.3, "detached volume bootable"))
    if draw.chance(0.2, "snapshot"):
        body = {
            "name": draw.name("snapshot"),
            "volume_id": ref(found),
            "description": draw.description("snapshot").replace("\n", " "),
        }  # Cinder takes one line
        made.add("snapshot", body)
    return found


SERVER_NAMES = [name for name in NAMES if name]
