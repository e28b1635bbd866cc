"""The clouds that a worker knows: read while people edit the file, whatever stands in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from stackferry_clouds import known

CLOUD = "{auth: {auth_url: 'http://127.0.0.1:9', username: u, password: p, project_name: p}}"


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (f"clouds: {{src: {CLOUD}, dst: {CLOUD}}}", ["dst", "src"]),
        ("clouds: {}", None),
        ("clouds:", None),
        ("clouds: []", None),
        ("clouds: [a, b]", None),
        ("[", None),
        ("", None),
        (f"clouds: {{1: {CLOUD}, src: {CLOUD}}}", ["src"]),
    ],
)
def test_whatever_stands_in_the_file_nothing_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, names: list[str] | None
) -> None:
    file = tmp_path / "clouds.yaml"
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    assert known.stamp() == (None,)
    file.write_text(content)
    assert known.stamp() != (None,)
    found = known.names()
    assert found == names or (names is None and not found)
