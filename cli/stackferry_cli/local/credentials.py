"""Where the services on this machine find the clouds' credentials: they run in a folder of their own, not in yours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

#: variable of openstacksdk → the file that it looks for in the working directory otherwise
VARIABLES = {"OS_CLIENT_CONFIG_FILE": "clouds", "OS_CLIENT_SECURE_FILE": "secure"}
SUFFIXES = (".yaml", ".yml", ".json")


def variables(here: Path, environ: Mapping[str, str], kept: Path) -> dict[str, str]:
    """Return the variables that lead a service to the files that a command in the folder *here* would read.

    *kept* is what ``up --vars`` has written; it comes before the files of the user's and of the system's folders.
    Source: openstacksdk, "Configuring OpenStack SDK applications".
    """
    found = {}
    for variable, name in VARIABLES.items():
        near = [here / f"{name}{suffix}" for suffix in SUFFIXES]
        if given := environ.get(variable):
            found[variable] = str(here / given)
        elif file := next((path for path in near if path.exists()), None):
            found[variable] = str(file)
    if kept.exists():
        found.setdefault("OS_CLIENT_CONFIG_FILE", str(kept))
    return found
