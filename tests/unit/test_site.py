"""The documentation as a site: every link leads somewhere, nothing is loaded from elsewhere, and the commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from .test_output import EVERY

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
FENCED = re.compile(r"```(?:sh|bash)\n(.*?)```", re.S)
INDENTED = re.compile(r"^ {4}(stackferry .*)$", re.M)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    words = ["-q", "-W", "--keep-going", "-b", "html", "-d", folder / "cache", ROOT / "docs", folder / "html"]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *map(str, words)], capture_output=True, text=True, timeout=120
    )
    assert built.returncode == 0, built.stderr  # a link that leads nowhere, a page that is in no list
    return folder / "html"


class Loaded(HTMLParser):
    """What a browser would load for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.found.append(said.get("src") or "")
        if tag == "link" and said.get("rel") in ("stylesheet", "preload", "icon", "shortcut icon"):
            self.found.append(said.get("href") or "")


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text("utf-8"))
        assert [one for one in loaded.found if re.match(r"(https?:)?//", one)] == [], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import ['\"]?(https?:)?//", style.read_text("utf-8")), style


def lines(page: Path) -> list[str]:
    text = page.read_text("utf-8")
    fenced = [line.strip() for block in FENCED.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    return [
        line for line in [*fenced, *INDENTED.findall(text)] if line.removeprefix(".venv/bin/").startswith("stackferry ")
    ]


TYPED = [(page.name, line) for page in PAGES if page.name != "cli.md" for line in lines(page)]


def test_there_are_commands_to_look_at() -> None:
    assert len(TYPED) > 30
    assert {"README.md", "tutorial.md", "from-os-migrate.md"} <= {page for page, _ in TYPED}


@pytest.mark.parametrize(("page", "line"), TYPED)
def test_a_command_in_the_documentation_exists(page: str, line: str) -> None:
    words = shlex.split(line.split(";")[0].split(" | ")[0].split(" > ")[0], comments=True)[1:]
    path: tuple[str, ...] = ()
    while words and (any(known[: len(path) + 1] == (*path, words[0]) for known in EVERY)):
        path = (*path, words.pop(0))
    assert path in EVERY, f"{page}: {line}"
    command: Any = EVERY[path]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    if command.context_settings.get("ignore_unknown_options"):  # they're another command's
        return
    for word in words:
        if word.startswith("-") and word != "-":
            assert word.partition("=")[0] in known | {"--help"}, f"{page}: {line}: {word}"
