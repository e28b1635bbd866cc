"""The user data of conversion hosts: complete, valid for cloud-init, and understood by the sandbox and a shell."""

from __future__ import annotations

import importlib
import subprocess
from dataclasses import replace
from typing import Any

import pytest
import yaml
from stackferry import __version__
from stackferry.errors import Error
from stackferry_cli.hosts.user_data import LEFT_ALONE, files, quoted, setup, user_data
from stackferry_cli.hosts.wanted import Guest, Wanted
from stackferry_sandbox.layout import INSIDE

GUEST = Guest("amqps://transfer:s%25cret@broker.example:5671//")
WANTED = Wanted("src", "conv", "m1.small", GUEST)


@pytest.fixture
def sandbox_reader(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(INSIDE)
    return importlib.import_module("stackferry_inside.user_data")


def written(wanted: Wanted, advertise: str | None = None) -> dict[str, dict[str, str]]:
    return {file["path"]: file for file in files(wanted, "conv", advertise)}


def test_what_is_on_the_disks_of_others_is_left_alone():
    for path in LEFT_ALONE:
        assert written(WANTED)[path]["permissions"] == "0644"
    assert "event_activation = 0" in written(WANTED)["/etc/lvm/lvmlocal.conf"]["content"]


def environment(sandbox_reader: Any, wanted: Wanted, advertise: str | None = None) -> dict[str, str]:
    text = user_data(wanted, "conv", advertise)
    (env,) = [f for f in sandbox_reader.files(text.encode()) if f.path == "/etc/stackferry/transfer.env"]
    assert env.mode == 0o600
    return dict(sandbox_reader.variables(env.content.decode()))


def test_agents_are_told_what_they_need(sandbox_reader: Any) -> None:
    guest = replace(GUEST, agents=2, slots=3, bandwidth=5e6, port=700, ca="PEM")
    wanted = replace(WANTED, guest=guest, project="Über uns")
    assert environment(sandbox_reader, wanted, "192.0.2.7") == {
        "STACKFERRY_AMQP_URI": "amqps://transfer:s%25cret@broker.example:5671//",
        "STACKFERRY_CLOUD": "src",
        "STACKFERRY_PROJECT": "Über uns",
        "STACKFERRY_HOST_NAME": "conv",
        "STACKFERRY_AGENTS": "2",
        "STACKFERRY_SLOTS": "3",
        "STACKFERRY_BANDWIDTH": "5000000.0",
        "STACKFERRY_LISTEN_PORT": "700",
        "STACKFERRY_ADVERTISE_ADDRESS": "192.0.2.7",
        "SSL_CERT_FILE": "/etc/stackferry/ca.pem",
    }
    assert "ADVERTISE" not in str(environment(sandbox_reader, wanted))


def test_every_variable_is_a_setting_of_the_agent(sandbox_reader: Any) -> None:
    from stackferry_transfer.settings import Settings

    wanted = replace(WANTED, guest=replace(GUEST, bandwidth=1.0), project="p")
    names = set(environment(sandbox_reader, wanted, "192.0.2.7")) - {"STACKFERRY_AGENTS"}
    assert {name.removeprefix("STACKFERRY_").lower() for name in names} <= set(Settings.__dataclass_fields__)


def test_it_is_a_cloud_config_that_runs_the_setup() -> None:
    text = user_data(replace(WANTED, guest=replace(GUEST, ssh_keys=("ssh-ed25519 AAAA me",))), "conv", None)
    assert text.startswith("#cloud-config\n")
    config = yaml.safe_load(text)
    assert config["runcmd"] == [["sh", "/etc/stackferry/setup"]]
    assert config["ssh_authorized_keys"] == ["ssh-ed25519 AAAA me"]
    assert [(f["path"], f["permissions"]) for f in config["write_files"]] == [
        ("/etc/stackferry/transfer.env", "0600"),
        ("/etc/systemd/system/stackferry-transfer@.service", "0644"),
        ("/etc/stackferry/setup", "0700"),
        *((path, "0644") for path in LEFT_ALONE),
    ]


def test_hooks_are_bash_unless_they_say_otherwise() -> None:
    guest = replace(GUEST, pre_hook="echo a", post_hook="#!/usr/bin/python3\nprint()")
    found = written(replace(WANTED, guest=guest))
    assert found["/etc/stackferry/pre-hook"]["content"] == "#!/bin/bash\necho a"
    assert found["/etc/stackferry/post-hook"]["content"] == "#!/usr/bin/python3\nprint()"


def test_the_setup_is_a_shell_script_whose_words_are_quoted() -> None:
    guest = replace(
        GUEST, agents=2, packages=("stackferry-transfer @ https://x/y?a=1&b=2",), pip_arguments=("--find-links", "/a b")
    )
    script = setup(guest)
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    assert (
        "pip install --disable-pip-version-check --find-links '/a b' 'stackferry-transfer @ https://x/y?a=1&b=2'"
        in script
    )
    assert "enable --now stackferry-transfer@1.service stackferry-transfer@2.service\n" in script
    assert f"version-check stackferry-transfer=={__version__}\n" in setup(GUEST)


@pytest.mark.parametrize(
    "value", ["plain", "a b", "ü", 'say "hi"', "it's", "back\\slash", "$HOME `x`", " edge ", "", "#no"]
)
def test_systemd_reads_a_value_as_it_was(value: str, tmp_path: Any) -> None:
    """Its rules within double quotes are the shell's; outside of them, none of what we leave unquoted means anything."""
    text = quoted("A", value)
    if text.startswith('"'):
        read = subprocess.run(["sh", "-c", f"printf %s {text}"], capture_output=True, text=True, check=True).stdout
        assert read == value
    else:
        assert text == value == value.strip()
        assert not set(value) & set("\\\"'")


def test_what_cannot_be_written_is_named() -> None:
    with pytest.raises(Error, match="STACKFERRY_PROJECT"):
        user_data(replace(WANTED, project="two\nlines"), "conv", None)
    with pytest.raises(Error, match="48,000 bytes"):
        user_data(replace(WANTED, guest=replace(GUEST, pre_hook="x" * 60_000)), "conv", None)


def run_setup(tmp_path: Any, guest: Guest, works: bool, pre_hook: int | None = None) -> tuple[int, str, list[str]]:
    """Run the script with its paths and programs replaced by ones that only note what they're asked."""
    etc, opt, programs = tmp_path / "etc", tmp_path / "opt", tmp_path / "bin"
    for folder in (etc, opt / "bin", programs):
        folder.mkdir(parents=True, exist_ok=True)
    log = tmp_path / "log"
    log.touch()

    def program(path: Any, body: str) -> None:
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    agent = (
        f'echo "python $*" >>{log}; case "$*" in *--help*) test -e {opt}/works;; *install*) touch {opt}/works;; esac'
    )
    for name in ("python3.14", "python3.13", "python3.12", "python3.11", "python3"):
        program(programs / name, f'case "$1" in -c) exit 0;; -m) echo "venv $*" >>{log};; esac')
    program(opt / "bin/python", agent)
    program(programs / "systemctl", f'echo "systemctl $*" >>{log}')
    if works:
        (opt / "works").touch()
    if pre_hook is not None:
        program(etc / "pre-hook", f'echo "pre hook" >>{log}; exit {pre_hook}')
    script = setup(guest).replace("/etc/stackferry", str(etc)).replace("/opt/stackferry", str(opt))
    path = f"{programs}:/usr/bin:/bin"
    done = subprocess.run(["sh"], input=script, text=True, capture_output=True, env={"PATH": path}, check=False)
    return done.returncode, done.stdout, log.read_text().splitlines()


def test_the_setup_installs_and_starts(tmp_path: Any) -> None:
    code, said, log = run_setup(
        tmp_path, replace(GUEST, agents=2, pip_arguments=("--no-index",)), works=False, pre_hook=0
    )
    assert (code, said.splitlines()[-1]) == (0, "stackferry: agents started: 2")
    assert log[0] == "pre hook"
    assert f"venv -m venv {tmp_path}/opt" in log
    assert any("pip install --disable-pip-version-check --no-index stackferry-transfer" in line for line in log)
    assert log[-2:] == [
        "systemctl daemon-reload",
        "systemctl enable --now stackferry-transfer@1.service stackferry-transfer@2.service",
    ]


def test_the_setup_installs_nothing_where_the_image_has_it(tmp_path: Any) -> None:
    code, said, log = run_setup(tmp_path, GUEST, works=True)
    assert code == 0
    assert not any("install" in line for line in log)
    assert "the agent is installed" in said


def test_a_hook_that_fails_ends_the_setup_and_the_console_says_so(tmp_path: Any) -> None:
    code, said, log = run_setup(tmp_path, GUEST, works=True, pre_hook=3)
    assert code == 3
    assert "FAILED" in said
    assert log == ["pre hook"]
