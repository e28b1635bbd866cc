"""Make the file tree of the guests' Debian, and change it so that it boots fast where every instruction is emulated.

Stock Debian takes 150 s to the end of cloud-init under emulation, this one 25 to 30. Most of that is: cloud-init's
four stages in one process, few units and no generators, few rules of udev, an initrd with nothing but what is needed.
"""

import secrets
import shutil
import subprocess
from pathlib import Path

from stackferry_sandbox.errors import SandboxError

HERE = Path(__file__).parent
SUITE = "bookworm"
PACKAGES = (
    "systemd-sysv", "dbus", "udev", "kmod", "linux-image-cloud-amd64", "initramfs-tools", "zstd", "busybox-static",
    "cloud-init", "openssh-server", "python3", "python3-venv", "python3-pip", "iproute2", "iputils-ping", "netbase",
    "ca-certificates", "e2fsprogs", "procps", "python3-cffi-backend",
)  # fmt: skip
"""(debootstrap can't find who provides what: python3-cffi-backend has to be named.)"""
REMOVED = (
    "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/i18n",
    "usr/share/bash-completion", "var/cache/apt", "var/lib/apt/lists", "boot", "usr/lib/udev/hwdb.d",
    "etc/udev/rules.d",
)  # fmt: skip
"""What a guest never needs; the folders stay."""
UDEV_RULES = {
    "50-udev-default.rules", "60-persistent-storage.rules", "60-block.rules", "80-net-setup-link.rules",
    "80-drivers.rules", "99-systemd.rules",
}  # fmt: skip
MODULES = (
    "drivers/virtio/virtio", "drivers/virtio/virtio_ring", "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci_modern_dev", "drivers/virtio/virtio_pci", "drivers/block/virtio_blk",
    "net/core/failover", "drivers/net/net_failover", "drivers/net/virtio_net", "drivers/cdrom/cdrom", "fs/isofs/isofs",
    "drivers/char/hw_random/virtio-rng",
)  # fmt: skip
"""Of the kernel, in the order in which they have to be loaded. (ext4 is built in.)"""
ENABLED = {
    "multi-user.target.wants/cloud-init-all.service": "../cloud-init-all.service",
    "multi-user.target.wants/systemd-networkd.service": "/lib/systemd/system/systemd-networkd.service",
    "sockets.target.wants/ssh.socket": "/lib/systemd/system/ssh.socket",  # sshd costs nothing until somebody calls
    "default.target": "/lib/systemd/system/multi-user.target",
}


def make_tree(tree: Path, debs: Path, run: list[str]) -> None:
    """Install Debian into an empty folder.

    Args:
        tree: the folder.
        debs: keeps the packages for another time.
        run: what to put before the command, such as ``nice``.
    """
    debs.mkdir(parents=True, exist_ok=True)
    options = ["--variant=minbase", f"--cache-dir={debs}", "--components=main", f"--include={','.join(PACKAGES)}"]
    done = subprocess.run(
        [*run, "debootstrap", *options, SUITE, str(tree)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SandboxError(f"debootstrap could not make the guests' Debian:\n{(done.stdout + done.stderr)[-2000:]}")


def take_kernel(tree: Path, folder: Path) -> None:
    """Copy the kernel out of a tree, and make an initrd for it: the modules above, and busybox to load them."""
    (modules,) = (tree / "lib/modules").iterdir()
    shutil.copy(tree / "boot" / f"vmlinuz-{modules.name}", folder / "vmlinuz")
    root = folder / "initrd"
    for name in ("bin", "dev", "proc", "sys", "root", "modules"):
        (root / name).mkdir(parents=True)
    shutil.copy(tree / "bin/busybox", root / "bin/busybox")
    for number, module in enumerate(MODULES, 10):
        shutil.copy(modules / "kernel" / f"{module}.ko", root / "modules" / f"{number}-{Path(module).name}.ko")
    shutil.copy(HERE / "init", root / "init")
    (root / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    with (folder / "initrd.cpio").open("wb") as file:
        packer = [root / "bin/busybox", "cpio", "-o", "-H", "newc"]
        subprocess.run(packer, cwd=root, input=names.encode(), stdout=file, stderr=subprocess.DEVNULL, check=True)
    shutil.rmtree(root)


def tune(tree: Path) -> None:
    """Make a tree boot fast. Its kernel must have been taken."""
    (version,) = (tree / "lib/modules").iterdir()
    for path in (*(tree / name for name in REMOVED), version / "kernel"):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    for path in (tree / "usr/lib/udev/rules.d").iterdir():
        if path.name not in UDEV_RULES:
            path.unlink()
    (tree / "usr/lib/udev/hwdb.bin").unlink(missing_ok=True)
    for name in ("x11", "legacy", "static-nodes-permissions", "systemd-nspawn", "portables"):
        (tree / f"usr/lib/tmpfiles.d/{name}.conf").unlink(missing_ok=True)
    units = tree / "etc/systemd/system"
    for folder in units.glob("*.wants"):
        shutil.rmtree(folder)
    for unit in (HERE / "masked-units.txt").read_text(encoding="utf-8").split():
        replace_link(units / unit, "/dev/null")
    for generator in (tree / "lib/systemd/system-generators").iterdir():
        replace_link(tree / "etc/systemd/system-generators" / generator.name, "/dev/null")
    shutil.copytree(HERE / "overlay", tree, dirs_exist_ok=True)
    for name, target in ENABLED.items():
        replace_link(units / name, target)
    # Without it systemd takes each boot for the first one.
    (tree / "etc/machine-id").write_text(secrets.token_hex(16) + "\n")


def replace_link(path: Path, target: str) -> None:
    """Make a symbolic link in place of whatever is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
