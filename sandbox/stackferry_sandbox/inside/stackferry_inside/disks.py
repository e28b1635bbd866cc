"""The volumes of a server that has agents: real block devices if possible, else the files themselves.

What is plugged is recorded in the server's folder, so that it can be found after any kill. Volumes that are attached
to several servers share one device; it goes with the last of them.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stackferry_inside import loops
from stackferry_inside.locks import locked
from stackferry_inside.server_folder import ServerFolder

Records = dict[str, dict[str, Any]]
"""By the volume's file: its id, the name that nova gave the disk, and the block device or None."""


def read(folder: ServerFolder) -> Records:
    """What is plugged into a server."""
    try:
        return dict(json.loads(folder.disks.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return {}


@contextlib.contextmanager
def changing(folder: ServerFolder) -> Iterator[Records]:
    """Change the record of a server; nobody else changes any in this cloud meanwhile."""
    with locked(folder.path.parent / ".lock"):
        records = read(folder)
        yield records
        write(folder, records)


def write(folder: ServerFolder, records: Records) -> None:
    """Write down what is plugged."""
    folder.run.mkdir(parents=True, exist_ok=True)
    new = folder.disks.with_suffix(".new")
    new.write_text(json.dumps(records, indent=1), encoding="utf-8")
    new.rename(folder.disks)


def plug(folder: ServerFolder, file: Path, volume_id: str, device: str | None) -> None:
    """Make a volume appear."""
    with changing(folder) as records:
        records[str(file)] = {"volume_id": volume_id, "name": device, "device": None}
        show(folder, records, str(file))


def show(folder: ServerFolder, records: Records, file: str) -> None:
    """Give a recorded volume its device, unless it has it, and its links."""
    record = records[file]
    found = loops.attach(Path(file)) if loops.possible() else None
    record["device"] = found and str(found)
    write(folder, records)  # before the links: what somebody can see is always known
    folder.plug(found or Path(file), record["volume_id"], record["name"])


def hide(folder: ServerFolder, records: Records, file: str) -> None:
    """Take a volume's links away, and its device if no other server has it."""
    device = records[file]["device"]
    folder.unplug(Path(device or file))
    records[file]["device"] = None
    write(folder, records)
    if device and not any(device == each["device"] for each in everywhere(folder.cloud)):
        loops.detach(Path(device), Path(file))


def everywhere(cloud: Path) -> Iterator[dict[str, Any]]:
    """What is plugged into any server of the cloud."""
    for path in (cloud / "hosts").iterdir():
        yield from read(ServerFolder(path)).values()


def unplug(folder: ServerFolder, file: Path) -> None:
    """Make a volume vanish."""
    with changing(folder) as records:
        if str(file) in records:
            hide(folder, records, str(file))
            del records[str(file)]


def unplug_all(folder: ServerFolder) -> None:
    """Make all volumes of a server vanish."""
    for file in read(folder):
        unplug(folder, Path(file))


def show_all(folder: ServerFolder) -> None:
    """Bring back what a stop of the cloud, or of the machine, has taken away."""
    with changing(folder) as records:
        for file in records:
            if Path(file).exists():
                show(folder, records, file)


def hide_all(folder: ServerFolder) -> None:
    """Take everything away for as long as the cloud is stopped."""
    with changing(folder) as records:
        for file in records:
            hide(folder, records, file)


def grow(folder: ServerFolder, file: Path) -> None:
    """Show that a volume has grown."""
    if device := read(folder).get(str(file), {}).get("device"):
        loops.resize(Path(device))


def sweep(cloud: Path) -> None:
    """Detach devices that no server has: nova may have been killed between making one and recording it."""
    if not loops.possible():
        return
    with locked(cloud / "hosts/.lock"):
        known = {record["device"] for record in everywhere(cloud)}
        for loop in loops.listing():
            if loop.file.is_relative_to((cloud / "volumes").resolve()) and str(loop.device) not in known:
                loops.detach(loop.device, loop.file)
