"""The AsyncAPI documents, judged by AsyncAPI's own parser: a reader that shares no code with what made them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
CHECK = """
const { Parser } = require("@asyncapi/parser");
const fs = require("fs");
new Parser().parse(fs.readFileSync(process.argv[2], "utf-8")).then(({ document, diagnostics }) => {
  const wrong = diagnostics.filter((one) => one.severity <= 1).map((one) => one.path.join(".") + ": " + one.message);
  const messages = document ? document.messages().all().map((one) => one.id()) : null;
  console.log(JSON.stringify({ wrong, messages }));
});
"""


@pytest.fixture(scope="module")
def parser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if shutil.which("npm") is None:
        pytest.skip("optional: npm is not installed")
    folder = tmp_path_factory.mktemp("asyncapi")
    words = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "@asyncapi/parser@3.4.0"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=200, check=False)
    if done.returncode:
        pytest.skip(f"optional: AsyncAPI's parser can't be installed: {done.stderr[-200:]}")
    (folder / "check.js").write_text(CHECK)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["asyncapi.json", "asyncapi-internal.json"])
def test_asyncapis_own_parser_finds_nothing_wrong_and_every_message(parser: Path, name: str) -> None:
    document = DOCS / name
    words = ["node", "check.js", str(document)]
    done = subprocess.run(words, cwd=parser, capture_output=True, text=True, timeout=100, check=True)
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert sorted(set(found["messages"])) == sorted(json.loads(document.read_text())["components"]["messages"])
