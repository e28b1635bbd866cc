"""Real guests, where a test needs a kernel: an image, a network, and which servers are such guests. Optional."""

from stackferry_sandbox.guests.guests import FLAVOR, IMAGE, Guests

__all__ = ["FLAVOR", "IMAGE", "Guests"]
