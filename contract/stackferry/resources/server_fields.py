"""The fields that only servers have."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError

from .fields import Bag, Link, Portable, Ref, Replace, Text
from .view import OWN, Missing

if TYPE_CHECKING:
    from .view import View


class FlavorRef(Ref):
    """A server's flavor. Nova shows a copy of what the flavor was, by name; it may be gone meanwhile."""

    def export(self, value: Any, view: View) -> Any:
        if not value:
            return None
        ref = {"name": value["name"], "project_name": None, "domain_name": None}
        return {**ref, "_id": value["id"]} if value.get("id") else ref


class ImageRef(Ref):
    """A server's image. It need not be here when the boot disk is copied; ``lacks`` knows, and says so otherwise."""

    def resolve(self, value: Any, view: View) -> Any:
        try:
            return super().resolve(value, view)
        except Missing:
            return None


class KeyName(Ref):
    """The name of a key pair, in documents and in clouds; still a link to the key pair's own document."""

    def __init__(self, description: str = "") -> None:
        super().__init__("keypair", description, attribute="key_name")

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, str) and not (isinstance(value, dict) and value.get("id")):
            raise ValidationError("expected the name of a key pair")
        return value

    def export(self, value: Any, view: View) -> Any:
        return value

    def resolve(self, value: Any, view: View) -> Any:
        return value["name"] if isinstance(value, dict) else value

    def canonical(self, value: Any) -> Any:
        return value or ""

    def links(self, value: Any, path: str) -> Iterator[Link]:
        if value:
            yield path, self, self._reference(value)

    def map_links(self, value: Any, path: str, replace: Replace) -> Any:
        """It stays a name, until its document has become something at the destination."""
        if not value:
            return value
        found = replace(path, self._reference(value))
        return found if found.get("id") else found["name"]

    def _reference(self, value: Any) -> dict[str, Any]:
        return value if isinstance(value, dict) else {"name": value, "project_name": OWN, "domain_name": OWN}


class ConfigDrive(Portable):
    """Nova answers with "True" or an empty text."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool) and value not in ("True", ""):
            raise ValidationError("expected true or false")
        return value

    def export(self, value: Any, view: View) -> Any:
        return True if value in (True, "True") else None

    def resolve(self, value: Any, view: View) -> Any:
        return value in (True, "True")


class SchedulerHints(Bag):
    """Wishes for a server's place, without those that name servers or groups by ids, which are the source's.

    Its group is a link of its own (:func:`with_group`).
    """

    def export(self, value: Any, view: View) -> Any:
        return {n: v for n, v in (value or {}).items() if not _names_ids(n, v)} or None

    def resolve(self, value: Any, view: View) -> Any:
        return self.export(value, view) or {}


def left_out(hints: Any) -> list[str]:
    """The wishes of a document that :class:`SchedulerHints` doesn't send."""
    return sorted(name for name, value in (hints or {}).items() if name != "group" and _names_ids(name, value))


def with_group(document: dict[str, Any]) -> dict[str, Any]:
    """Return a server's document with the group that its scheduler hints name, by id or by name, as a link.

    OS Migrate writes the source's id there.
    """
    params, info = document["params"], document.get("_info") or {}
    group = (params.get("scheduler_hints") or {}).get("group")
    if not group or params.get("server_group_ref"):
        return document
    ref = {"name": str(group), "project_name": OWN, "domain_name": OWN}
    ids = {"server_group_ref": str(group), **(info.get("source_ids") or {})}
    return {**document, "params": {**params, "server_group_ref": ref}, "_info": {**info, "source_ids": ids}}


def _names_ids(name: str, value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return name in ("group", "same_host", "different_host") or any(_is_id(item) for item in values)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", value) is not None


class UserData(Text):
    """What cloud-init reads: base64, as Nova wants it."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, *args, **kwargs)
        try:
            base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            raise ValidationError("is not base64") from None
        return text
