"""The guests' image: a bare ext4 file system, and the kernel that boots it. Made once, and kept for all sandboxes."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stackferry_sandbox.files import locked
from stackferry_sandbox.guests import debian

SIZE = "1400M"
"""Of the file system: what Debian takes, and room for a virtual environment and some data."""
FEATURES = "^metadata_csum"
"""A checksum of everything is slow to emulate; the journal stays, as guests may be killed."""
VARIABLE = "STACKFERRY_GUEST_CACHE"

Tell = Callable[[str], None]


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where the image is kept: STACKFERRY_GUEST_CACHE, or a folder under the XDG cache home."""
    if chosen := environ.get(VARIABLE):
        return Path(chosen).expanduser().absolute()
    home = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".cache")
    return Path(home) / "stackferry" / "guest"


def recipe() -> str:
    """Stands for what the image is made from: another recipe makes another image."""
    digest = hashlib.sha256(SIZE.encode() + FEATURES.encode())
    files = [debian.HERE / "debian.py", debian.HERE / "init", debian.HERE / "masked-units.txt"]
    for path in (*files, *sorted(path for path in (debian.HERE / "overlay").rglob("*") if path.is_file())):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Image:
    """What was made by one recipe."""

    folder: Path

    @property
    def kernel(self) -> Path:
        """The kernel."""
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """What the kernel starts with."""
        return self.folder / "initrd.cpio"

    @property
    def disk(self) -> Path:
        """The file system."""
        return self.folder / "disk.raw"


def ensure(cache: Path, tell: Tell, run: list[str]) -> Image:
    """The image of today's recipe; made if it isn't there.

    Args:
        cache: the folder to keep it in.
        tell: called with a line of text about what is being done.
        run: what to put before long commands, such as ``nice``.
    """
    image = Image(cache / recipe())
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "lock"):
        if not image.folder.exists():
            tell("making the guests' image (once, some minutes) ...")
            with tempfile.TemporaryDirectory(prefix="new-", dir=cache) as new:
                make(Path(new), cache / "debs", run)
                (Path(new) / "image").rename(image.folder)
    return image


def make(work: Path, debs: Path, run: list[str]) -> None:
    """Make an image in ``<work>/image``."""
    tree, folder = work / "tree", work / "image"
    folder.mkdir()
    debian.make_tree(tree, debs, run)
    debian.take_kernel(tree, folder)
    debian.tune(tree)
    disk = folder / "disk.raw"
    with disk.open("xb") as file:
        os.truncate(file.fileno(), int(SIZE.removesuffix("M")) << 20)
    options = ["-q", "-t", "ext4", "-L", "root", "-m", "0", "-E", "lazy_itable_init=1,nodiscard", "-J", "size=8"]
    subprocess.run([*run, "mke2fs", *options, "-O", FEATURES, "-d", tree, disk], check=True)


def digest_of(image: Image, files: Mapping[str, Path]) -> str:
    """Stands for an image with more files in it."""
    digest = hashlib.sha256(image.folder.name.encode())
    for path, file in sorted(files.items()):
        digest.update(path.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def pack(image: Image, files: Mapping[str, Path], path: Path) -> None:
    """Write a copy of the file system, with more files in it, as qcow2.

    Args:
        image: the image.
        files: by the path in the guest; their folders are made.
        path: where to write.
    """
    copy = path.with_suffix(".raw")
    shutil.copy(image.disk, copy)
    folders = sorted({str(parent) for name in files for parent in Path(name).parents} - {"/"})
    commands = [f"mkdir {folder}" for folder in folders] + [f'write "{file}" {name}' for name, file in files.items()]
    debugfs = ["debugfs", "-w", "-f", "-", copy]
    subprocess.run(debugfs, input="\n".join(commands), text=True, capture_output=True, check=True)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", copy, path], check=True)
    copy.unlink()
