"""Stackferry's HTTP API for Python programs: see :class:`Client`. It needs httpx, and nothing else of Stackferry."""

from .client import Client
from .errors import FerryError, Refused, Unavailable
from .transport import Event

__all__ = ["Client", "Event", "FerryError", "Refused", "Unavailable"]
