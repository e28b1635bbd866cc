"""What a shell offers, asked as bash asks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from stackferry_cli.local.stack import Stack

from .asking import made

pytestmark = pytest.mark.integration


def offered(home: Path, line: str) -> list[str]:
    """The words for the end of a line."""
    words = line.split(" ")
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "STACKFERRY_HOME": str(home),
           "_STACKFERRY_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}  # fmt: skip
    program = Path(sys.executable).with_name("stackferry")
    done = subprocess.run([program], env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.split()


def test_the_tab_key_offers_what_the_services_know(stack: Stack, http: httpx.Client) -> None:
    migration = made(http, name="autumn-wave")
    assert offered(stack.folder, "stackferry migrate -s s") == ["src"]
    assert set(offered(stack.folder, "stackferry migrate -d ")) == {"dst", "elsewhere", "src"}
    assert "autumn-wave" in offered(stack.folder, "stackferry show aut")
    assert migration in offered(stack.folder, f"stackferry cancel {migration[:8]}")
    assert offered(stack.folder, "stackferry show las") == ["last"]
    assert offered(stack.folder, "stackferry export -k subn") == ["subnet"]
    assert offered(stack.folder, "stackferry list --phase cancelle") == ["cancelled"]
    assert offered(stack.folder, "stackferry hosts drain x") == []


def test_it_offers_nothing_where_nobody_answers(tmp_path: Path) -> None:
    for line in ("stackferry migrate -s s", "stackferry hosts drain x", "stackferry show au"):
        assert offered(tmp_path, line) == []
