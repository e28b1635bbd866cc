"""Where the sandbox keeps things: one folder for everything, one below it for each cloud."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stackferry_sandbox.errors import SandboxError

DEFAULT_FIRST_PORT = 18000

INSIDE = Path(__file__).parent / "inside"
"""A folder for PYTHONPATH: the code that runs in the clouds' own environment."""

REQUIREMENTS = Path(__file__).parent / "cloud-requirements.txt"


def state_folder(environ: Mapping[str, str]) -> Path:
    """The folder of all state: STACKFERRY_SANDBOX, or one under the XDG state home."""
    if chosen := environ.get("STACKFERRY_SANDBOX"):
        return Path(chosen).expanduser().absolute()
    home = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".local/state")
    return Path(home) / "stackferry" / "sandbox"


def first_port(environ: Mapping[str, str]) -> int:
    """The port from which clouds take theirs: STACKFERRY_SANDBOX_PORT or 18000."""
    chosen = environ.get("STACKFERRY_SANDBOX_PORT") or str(DEFAULT_FIRST_PORT)
    if not chosen.isdecimal() or not 1024 <= int(chosen) < 65536:
        raise SandboxError(f"STACKFERRY_SANDBOX_PORT must be a port above 1023, not {chosen!r}")
    return int(chosen)


@dataclass(frozen=True)
class State:
    """The paths under the root of all state."""

    root: Path

    @property
    def venv(self) -> Path:
        """The Python environment in which the services run."""
        return self.root / "venv"

    @property
    def python(self) -> Path:
        """The interpreter of that environment."""
        return self.venv / "bin" / "python"

    @property
    def clouds(self) -> Path:
        """The folder with one folder for each cloud."""
        return self.root / "clouds"

    @property
    def template(self) -> Path:
        """The databases from which a new cloud is copied."""
        return self.root / "template"

    @property
    def lock(self) -> Path:
        """The file whose lock allows to change anything here."""
        return self.root / "lock"

    @property
    def clouds_yaml(self) -> Path:
        """How clients reach every cloud, with passwords."""
        return self.root / "clouds.yaml"

    def cloud(self, name: str) -> "CloudPaths":
        """The paths of one cloud, whether it exists or not."""
        return CloudPaths(self.clouds / name)

    def make(self) -> None:
        """Create the root, closed to other users: it will hold passwords."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)


@dataclass(frozen=True)
class CloudPaths:
    """The paths under one cloud's folder."""

    root: Path

    @property
    def record(self) -> Path:
        """The cloud's name and ports. Written last: without it the cloud does not exist."""
        return self.root / "cloud.json"

    @property
    def credentials(self) -> Path:
        """The passwords of the cloud's users."""
        return self.root / "credentials.json"

    @property
    def furnished(self) -> Path:
        """Exists once the external network, flavors and the tenant are there; names the flavors."""
        return self.root / "furnished"

    @property
    def etc(self) -> Path:
        """The services' configuration."""
        return self.root / "etc"

    @property
    def db(self) -> Path:
        """The services' databases."""
        return self.root / "db"

    @property
    def launch_log(self) -> Path:
        """What was printed before the services had logs of their own."""
        return self.root / "log" / "launch.log"

    def log(self, service: str) -> Path:
        """A service's log, standard output and standard error."""
        return self.root / "log" / f"{service}.log"

    def access_log(self, service: str) -> Path:
        """A service's log of API requests."""
        return self.root / "log" / f"{service}.access.jsonl"

    def pid(self, service: str) -> Path:
        """Which process is the service."""
        return self.root / "run" / f"{service}.json"

    def faults(self, service: str) -> Path:
        """The rules by which a service misbehaves."""
        return self.root / "faults" / f"{service}.json"

    @property
    def agents(self) -> Path:
        """What conversion hosts run as their agents."""
        return self.root / "etc" / "agents.json"

    @property
    def guests(self) -> Path:
        """What real guests start from; only there if the cloud may have any."""
        return self.root / "etc" / "guests.json"

    @property
    def hosts(self) -> Path:
        """The folder with one folder for each server."""
        return self.root / "hosts"

    def host(self, server_id: str) -> Path:
        """The folder of a server."""
        return self.hosts / server_id

    def volume(self, volume_id: str) -> Path:
        """The file of a volume."""
        return self.root / "volumes" / f"volume-{volume_id}"

    def make(self) -> None:
        """Create the cloud's folders."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in FOLDERS:
            (self.root / folder).mkdir(parents=True, exist_ok=True)


FOLDERS: tuple[str, ...] = (
    "etc", "db", "log", "run", "lock", "faults", "hosts", "volumes", "nova", "neutron",
    "cinder/conversion", "glance/images", "glance/staging", "glance/tasks",
)  # fmt: skip


def process_environment() -> dict[str, str]:
    """The environment in which the services and their tools run."""
    kept = {
        key: value
        for key, value in os.environ.items()
        # A proxy must not get between the services; OS_* would reconfigure them.
        if key.lower() not in ("http_proxy", "https_proxy", "all_proxy") and not key.startswith("OS_")
    }
    return kept | {
        "PYTHONPATH": str(INSIDE),
        "PYTHONWARNINGS": "ignore",
        "MALLOC_ARENA_MAX": "2",
        "TZ": "UTC",
        # nova-manage, like the services, runs on native threads.
        "OS_NOVA_DISABLE_EVENTLET_PATCHING": "1",
    }
