"""When Python looks for garbage that reference counts don't find."""

from __future__ import annotations

import gc

#: objects that are made before the youngest are looked at; Python's 700 cost a sixth of the CPU of a large plan
AFTER = 50_000


def collect_rarely() -> None:
    """Look for it seldom, and never among what is there by now: that stays as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(AFTER, 10, 10)
