"""Payloads of images as files: `image_blobs/<image id>-<image name>`, as OS Migrate keeps them beside its documents.

Which folder it is says the request; that a service may touch it says its own setting, since whoever can publish a
request could otherwise have any file written or read.
"""

from __future__ import annotations

from glob import escape
from pathlib import Path

from stackferry.errors import Error

NAME_BYTES = 200  # of a file name, of the 255 that file systems take


class Refused(Error):
    """This folder, or this file, is none that may be used."""


def folder(asked: str, allowed: str) -> Path:
    """Return the folder *asked* for; raise Refused unless it is inside the folder *allowed*."""
    if not allowed:
        raise Refused("payloads in files are not allowed here: STACKFERRY_BLOBS_DIR is not set")
    path = Path(asked).resolve()
    if not path.is_relative_to(Path(allowed).resolve()):
        raise Refused(f"image_blobs: {asked} is outside of {allowed}, the only folder allowed (STACKFERRY_BLOBS_DIR)")
    return path


def file_name(id_: str, name: str) -> str:
    """The file of an image. The name is for people: the id alone finds it."""
    readable = "".join("_" if character in "/\0" else character for character in name)
    return f"{id_}-{readable}".encode()[:NAME_BYTES].decode(errors="ignore")


def find(place: Path, id_: str) -> Path:
    """Return the file of an image; raise Refused when there is none, or more than one."""
    found = list(place.glob(f"{escape(id_)}-*"))
    if len(found) != 1:
        raise Refused(f"{len(found) or 'no'} files in {place} begin with {id_}-, where its payload is expected")
    return found[0]
