"""The fields that only servers have."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError

from .fields import Bag, Portable, Ref, Text
from .view import Missing

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
    """Wishes for a server's place, without those that name other servers or groups of the source by id."""

    def export(self, value: Any, view: View) -> Any:
        return {n: v for n, v in (value or {}).items() if n not in ("group", "same_host", "different_host")} or None


class UserData(Text):
    """What cloud-init reads: base64, as Nova wants it."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, *args, **kwargs)
        try:
            base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            raise ValidationError("is not base64") from None
        return text
