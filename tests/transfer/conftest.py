from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .rig import Rig, loop_device


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """400 small blocks, the last one short."""
    return Rig.make(tmp_path, 400 * 4096 - 1000)


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Make block devices of files; they're detached afterwards."""
    if os.getuid():
        pytest.skip("without root: no block devices")
    if not shutil.which("losetup") or not Path("/dev/loop-control").exists():
        pytest.skip("this system has no loop devices")
    with ExitStack() as stack:
        yield lambda file: stack.enter_context(loop_device(file))
