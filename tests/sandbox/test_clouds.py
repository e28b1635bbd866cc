"""Names, ports and passwords of clouds, and the files that remember them."""

import os
import re
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from stackferry_sandbox import clouds
from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.layout import State, first_port, state_folder

ENVIRONMENT = "digest"


def never_taken(_port: int) -> bool:
    return True


def all_but(*ports: int) -> Callable[[int], bool]:
    return lambda port: port not in ports


def test_first_ports_are_ten_apart() -> None:
    assert clouds.choose_ports(18000, [], never_taken) == 18000
    assert clouds.choose_ports(18000, [18000], never_taken) == 18010
    assert clouds.choose_ports(18000, [18000, 18010], never_taken) == 18020


def test_ports_of_clouds_that_are_down_stay_theirs_even_if_they_began_elsewhere() -> None:
    assert clouds.choose_ports(18000, [18003], never_taken) == 18010
    assert clouds.choose_ports(18000, [18006], never_taken) == 18000


def test_a_port_that_another_program_has_is_left_out() -> None:
    assert clouds.choose_ports(18000, [], all_but(18005)) == 18010
    assert clouds.choose_ports(18000, [], all_but(18006)) == 18000


def test_no_free_ports_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(SandboxError, match="STACKFERRY_SANDBOX_PORT"):
        clouds.choose_ports(18000, [], lambda _port: False)


def test_a_port_in_use_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not clouds.is_free(port)
    assert clouds.is_free(port)


@pytest.mark.parametrize("name", ["src", "dst", "a", "cloud-2", "x" * 31])
def test_good_names(name: str) -> None:
    clouds.check_name(name)


@pytest.mark.parametrize("name", ["", "Src", "2nd", "src-admin", "a_b", "../x", "x" * 32, "a-", "quelle-ü"])
def test_bad_names(name: str) -> None:
    with pytest.raises(SandboxError, match="no name for a cloud"):
        clouds.check_name(name)


def make(state: State, name: str) -> clouds.Cloud:
    cloud = clouds.draft(state, name, 18000, ENVIRONMENT)
    clouds.record(cloud)
    return cloud


def test_a_cloud_is_remembered(tmp_path: Path) -> None:
    state = State(tmp_path)
    made = make(state, "src")
    assert clouds.find(state, "src") == made
    assert clouds.get(state, "src") == made
    assert clouds.find(state, "dst") is None


def test_clouds_are_numbered_and_a_number_is_used_again(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert [make(state, name).number for name in ("src", "dst", "third")] == [0, 1, 2]
    state.cloud("dst").record.unlink()
    assert make(state, "fourth").number == 1
    assert [cloud.name for cloud in clouds.known(state)] == ["src", "fourth", "third"]


def test_a_cloud_exists_only_once_it_is_recorded(tmp_path: Path) -> None:
    state = State(tmp_path)
    drafted = clouds.draft(state, "src", 18000, ENVIRONMENT)
    (drafted.paths.db / "half-copied.db").touch()
    assert clouds.known(state) == []
    again = clouds.draft(state, "src", 18000, ENVIRONMENT)
    assert list(again.paths.db.iterdir()) == []


def test_passwords_are_different_and_only_for_the_owner(tmp_path: Path) -> None:
    state = State(tmp_path)
    passwords = [vars(make(state, name).credentials).values() for name in ("src", "dst")]
    every = [password for some in passwords for password in some]
    assert len(set(every)) == 6
    assert all(re.fullmatch("[0-9a-f]{32}", password) for password in every)
    assert stat.S_IMODE(os.stat(state.cloud("src").credentials).st_mode) == 0o600


def test_an_unknown_cloud_is_an_error_that_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="stackferry-sandbox up nowhere"):
        clouds.get(State(tmp_path), "nowhere")


def test_a_cloud_of_another_environment_is_refused(tmp_path: Path) -> None:
    cloud = make(State(tmp_path), "src")
    clouds.check_version(cloud, ENVIRONMENT)
    with pytest.raises(SandboxError, match="destroy src"):
        clouds.check_version(cloud, "another digest")


def test_where_state_is_kept() -> None:
    assert state_folder({"STACKFERRY_SANDBOX": "/a/b"}) == Path("/a/b")
    assert state_folder({"XDG_STATE_HOME": "/x"}) == Path("/x/stackferry/sandbox")
    assert state_folder({"HOME": "/home/me"}) == Path("/home/me/.local/state/stackferry/sandbox")


def test_where_ports_begin() -> None:
    assert first_port({}) == 18000
    assert first_port({"STACKFERRY_SANDBOX_PORT": "19000"}) == 19000
    for wrong in ("80", "70000", "many"):
        with pytest.raises(SandboxError, match=wrong):
            first_port({"STACKFERRY_SANDBOX_PORT": wrong})
