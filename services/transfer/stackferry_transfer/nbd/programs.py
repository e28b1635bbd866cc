"""How nbdkit and nbdcopy are called, which serve a part of a volume and read it; TLS with two pinned certificates."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from stackferry_runtime.certificates import Identity

#: a system that has its own rules for GnuTLS keeps them: a file of ours would take their place
SYSTEM_RULES = Path("/etc/crypto-policies/back-ends/gnutls.config")
RULES = """[overrides]
tls-disabled-cipher = CHACHA20-POLY1305
disabled-version = tls1.2
disabled-version = tls1.1
disabled-version = tls1.0
"""


@contextmanager
def secured(mine: Identity, peers: Iterable[str], side: str) -> Iterator[tuple[Path, Mapping[str, str]]]:
    """Yield a folder with what a *side* (server, client) of GnuTLS needs to trust these peers alone, and its variables.

    The key isn't copied: the folder has links to the file of the identity, which only we can read.
    """
    with tempfile.TemporaryDirectory(prefix=f"nbd-{os.getpid()}-", dir=mine.path.parent) as name:
        folder = Path(name)
        (folder / "ca-cert.pem").write_text("".join(peers))
        for part in ("cert", "key"):
            (folder / f"{side}-{part}.pem").symlink_to(mine.path.resolve())
        (folder / "rules").write_text(RULES)
        yield folder, {} if SYSTEM_RULES.exists() else {"GNUTLS_SYSTEM_PRIORITY_FILE": str(folder / "rules")}


def sweep(folder: Path) -> None:
    """Delete the folders of agents that were killed; there's no key in them."""
    for left in folder.glob("nbd-*"):
        if not Path("/proc", left.name.split("-")[1]).exists():
            shutil.rmtree(left, ignore_errors=True)


def export_name(offer: str) -> str:
    """The name of an export: no two tries have the same, so that none reads what is served to another."""
    return hashlib.sha256(offer.encode()).hexdigest()[:32]


def serve(path: Path, first: int, length: int, offer: str, tls: Path, rate: float) -> list[str]:
    """The command that serves a part of a device, over the listening socket that it's given, until its guest leaves."""
    limit = (["--filter=rate"], [f"rate={int(rate * 8)}"]) if rate else ([], [])
    return [
        "nbdkit", "--foreground", "--exit-with-parent", "--readonly", "--newstyle", "--log=stderr",
        "--tls=require", f"--tls-certificates={tls}", "--tls-verify-peer",
        "--filter=exitlast", "--filter=exportname", *limit[0], "--filter=offset", "file", f"file={path}",
        f"offset={first}", f"range={length}", f"exportname={export_name(offer)}", "exportname-strict=true", *limit[1],
    ]  # fmt: skip


def location(address: str, offer: str, tls: Path) -> str:
    """Where an export is, for a client."""
    host, _, port = address.rpartition(":")
    host = f"[{host}]" if ":" in host else host
    return f"nbds://{host}:{port}/{export_name(offer)}?tls-certificates={quote(str(tls))}"


def take(path: Path, first: int) -> list[str]:
    """The command that takes what is written to a device from *first* on, over the listening socket that it's given."""
    return [
        "nbdkit", "--foreground", "--exit-with-parent", "--newstyle", "--log=stderr",
        "--filter=offset", "file", f"file={path}", f"offset={first}",
    ]  # fmt: skip


def copy(source: str, listener: str, progress: int) -> list[str]:
    """The command that copies an export to the socket *listener*, behind which are only zeros, which it leaves alone.

    Over one connection, since other segments are under way as well. Not with ``--allocated``: that writes every zero,
    and a thin volume becomes a thick one.
    """
    return [
        "nbdcopy", "--destination-is-zero", "--flush", "--connections=1", f"--progress={progress}", "--", source,
        f"nbd+unix:///?socket={quote(listener)}",
    ]  # fmt: skip


def stream(source: str) -> list[str]:
    """The command that writes an export to its output, from the start to the end."""
    return ["nbdcopy", "--", source, "-"]
