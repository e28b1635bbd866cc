"""Make a folder of wheels from which the agent of a conversion host is installed without a network.

``python deploy/agent_wheels.py FOLDER``; then, on the host: ``pip install --no-index --find-links FOLDER
stackferry-transfer``. Our own packages are built from this repository; the others are those of constraints.txt, checked
by their hashes, for the Python of Debian 12. Run by the repository's virtual environment, on the hosts' architecture.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parent.parent
ROOMS = ("contract", "runtime", "services/transfer")
AGENT = "stackferry-transfer"
PYTHON = "3.11"
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def needed(package: str) -> set[str]:
    """The names of all packages that one needs, as they are installed here; without itself."""
    found: set[str] = set()
    queue = [package]
    while queue:
        for line in requires(queue.pop()) or ():
            requirement = Requirement(line)
            name = canonicalize_name(requirement.name)
            wanted = not requirement.marker or requirement.marker.evaluate({"extra": "", "python_version": PYTHON})
            if wanted and name not in found:
                found.add(name)
                queue.append(name)
    return found


def pins(constraints: str, names: set[str]) -> str:
    """The part of constraints.txt that concerns some packages, with the hashes."""
    entries = re.split(r"^(?=\S)", constraints, flags=re.MULTILINE)
    return "".join(entry for entry in entries if canonicalize_name(entry.partition("==")[0]) in names)


def make(folder: Path) -> None:
    """Fill a folder with wheels."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write(pins((REPOSITORY / "constraints.txt").read_text(encoding="utf-8"), needed(AGENT)))
        file.flush()
        options = ["--no-deps", "--require-hashes", "--only-binary=:all:", f"--python-version={PYTHON}"]
        subprocess.run([*PIP, "download", *options, "--dest", folder, "-r", file.name], check=True)
    rooms = [str(REPOSITORY / room) for room in ROOMS]
    subprocess.run([*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, *rooms], check=True)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    make(target)
    print(*sorted(path.name for path in target.glob("*.whl")), sep="\n")
