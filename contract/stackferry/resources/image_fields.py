"""The fields that only images have: properties, which are text to Glance, and what is compared with indulgence."""

from __future__ import annotations

from inspect import getattr_static
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError

from .fields import Many, Partial, Portable, Text

if TYPE_CHECKING:
    from .view import View

#: properties that a cloud's Glance sets, that lead into its own stores, or that are ids of it (Nova's, of a snapshot)
ITS_OWN = {"base_image_ref", "direct_url", "file", "image_location", "instance_uuid", "locations", "owner_id", "schema",
           "self", "stores", "user_id"}  # fmt: skip
RESERVED = "os_glance_"


class Property(Portable):
    """A property that Glance keeps as text, and openstacksdk may show as a number or a boolean."""

    def read(self, resource: Any, attribute: str) -> Any:
        """The text itself: openstacksdk takes ``no`` for true, as Python does with any text."""
        said = getattr(getattr(resource, "_body", None), "attributes", {})
        name = getattr(getattr_static(type(resource), attribute, None), "name", attribute)
        return said[name] if isinstance(said.get(name), str) else super().read(resource, attribute)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(value, str | int | float):
            raise ValidationError("expected a text, a number or a boolean")
        return value

    def resolve(self, value: Any, view: View) -> Any:
        return self.canonical(value)

    def canonical(self, value: Any) -> Any:
        if value is None:
            return ""
        return str(value).lower() if isinstance(value, bool) else str(value)


class Properties(Partial):
    """Free properties; those that only the destination has stay as they are."""

    def export(self, value: Any, view: View) -> Any:
        theirs = {n: v for n, v in (value or {}).items() if n not in ITS_OWN and not n.startswith(RESERVED)}
        return {n: v for n, v in sorted(theirs.items()) if v is not None}

    def resolve(self, value: Any, view: View) -> Any:
        return {n: self.item(v) for n, v in self.export(value, view).items()}

    def item(self, value: Any) -> Any:
        return Property().canonical(value)


class Hash(Text):
    """The payload's hash; compared when there is a payload here, and its hash is of the same length."""

    def differs(self, want: Any, have: Any) -> bool:
        return bool(want and have) and len(want) == len(have) and want != have


class Algorithm(Text):
    """The cloud's choice: another algorithm alone is no other payload."""

    def differs(self, want: Any, have: Any) -> bool:
        return False


class Members(Many):
    """Projects that an image is shared with; those that only the destination has stay."""

    def differs(self, want: Any, have: Any) -> bool:
        return not set(want or ()) <= set(have or ())

    def earlier(self, was: Any, becomes: Any, now: Any) -> Any:
        """Without those that were added; others may have come meanwhile."""
        return [member for member in now or () if member in (was or ()) or member not in becomes]
