"""OS Migrate's variables file: filters and credentials, read as they are, refused by name."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from stackferry.errors import Error
from stackferry.resources import KINDS
from stackferry_cli import options
from stackferry_cli.hosts import variables as hosts
from stackferry_cli.os_migrate import FILTERS, clouds, filters, read, without_effect, write_clouds
from stackferry_cli.os_migrate.table import KNOWN, SIDES

CANARY = "tweety-4711"
AUTH = {"auth_url": "https://src:5000/v3", "username": "me", "password": CANARY, "project_name": "p"}
VARIABLES = {
    "os_migrate_src_auth": AUTH,
    "os_migrate_src_region_name": "one",
    "os_migrate_src_auth_type": "password",
    "os_migrate_src_validate_certs": False,
    "os_migrate_src_ca_cert": "/ca.pem",
    "os_migrate_src_client_cert": "/c.pem",
    "os_migrate_src_client_key": "/k.pem",
    "os_migrate_src_block_storage_api_version": 3,
    "os_migrate_dst_auth": {**AUTH, "auth_url": "https://dst:5000/v3"},
    "os_migrate_dst_validate_certs": True,
    "os_migrate_data_dir": "/data",
}


def test_filters_are_per_kind_and_only_those_that_are_there() -> None:
    found = filters({"os_migrate_networks_filter": ["a", {"regex": "^b"}], "os_migrate_data_dir": "/data"})
    assert found == {"network": ["a", {"regex": "^b"}]}
    assert filters({}) == {}


@pytest.mark.parametrize(("variable", "kind"), FILTERS.items())
def test_every_variable_is_for_a_kind_that_exists(variable: str, kind: str) -> None:
    if kind != "image":
        assert kind in KINDS
    assert filters({variable: [{"regex": ".*"}]}) == {kind: [{"regex": ".*"}]}


def test_the_two_filters_of_volumes_are_one_here() -> None:
    both = {"os_migrate_volumes_filter": ["a"], "os_migrate_detached_volumes_filter": ["a"]}
    assert filters(both) == {"volume": ["a"]}
    with pytest.raises(Error, match="os_migrate_volumes_filter and os_migrate_detached_volumes_filter differ"):
        filters({**both, "os_migrate_detached_volumes_filter": ["b"]})


@pytest.mark.parametrize(
    ("variables", "flag", "said"),
    [
        ({}, False, {}),
        ({}, True, {"shutdown": "wait"}),
        ({"os_migrate_workload_stop_before_migration": True}, False, {}),
        ({"os_migrate_workload_stop_before_migration": False}, False, {"shutdown": "wait"}),
    ],
)
def test_servers_are_left_running_where_the_variables_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], variables: dict[str, Any], flag: bool, said: Any
) -> None:
    file = tmp_path / "vars.yml"
    file.write_text(yaml.safe_dump({"os_migrate_data_dir": "x", **variables}))
    found = options.migration_params(options.variables(file), wait_for_shutdown=flag)
    assert found == {"power": "running", **(said or {})}
    noted = "os_migrate_workload_stop_before_migration is false: servers that run are waited for"
    assert (noted in capsys.readouterr().err) is (False in variables.values())


def test_whether_servers_are_stopped_is_yes_or_no(tmp_path: Path) -> None:
    file = tmp_path / "vars.yml"
    file.write_text("os_migrate_workload_stop_before_migration: maybe\n")
    with pytest.raises(Error, match="os_migrate_workload_stop_before_migration: expected true or false"):
        options.migration_params(options.variables(file))


def test_what_has_no_effect_is_named_once_and_what_nobody_knows_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "vars.yml"
    said = {"os_migrate_users_filter": ["a"], "os_migrate_workloads_filter": ["a"], "os_migrate_timeout": 5,
            "os_migrate_workload_filter": ["a"], "my_own": 1, "use_nbdkit_direct": True}  # fmt: skip
    file.write_text(yaml.safe_dump(said))
    assert options.selection(None, None, options.variables(file)) == {"filters": {"server": ["a"]}}
    assert sorted(capsys.readouterr().err.splitlines()) == sorted(
        [
            f"note: without effect in {file}:",
            "  os_migrate_users_filter: such resources don't cross yet",
            "  os_migrate_timeout: what makes progress is waited for",
            "  use_nbdkit_direct: disks are read through the clouds' APIs only, not from hypervisors",
            f"warning: {file}: os_migrate_workload_filter is no variable of OS Migrate; a typing error?",
        ]
    )


#: every variable that OS Migrate's variables guide, its walkthrough and the defaults of its roles name
DOCUMENTED = (Path(__file__).parent / "os_migrate_variables.txt").read_text().split()
OF_A_CLOUD = [
    "auth",
    "auth_type",
    "region_name",
    "validate_certs",
    "ca_cert",
    "client_cert",
    "client_key",
    "block_storage_api_version",
    "filter_current_project",
    "filters",
]
OF_A_HOST = [
    "host_name",
    "image_name",
    "flavor_name",
    "external_network_name",
    "net_name",
    "subnet_name",
    "router_name",
    "secgroup_name",
    "keypair_name",
    "availability_zone",
    "manage_network",
    "manage_fip",
    "host_delete_fip",
    "floating_ip_address",
    "net_mtu",
    "subnet_dns_nameservers",
    "host_boot_from_volume",
    "host_volume_size",
    "host_pre_content_hook",
    "host_post_content_hook",
]
EVERY = [
    *DOCUMENTED,
    *(f"os_migrate_{side}_{name}" for side in ("src", "dst") for name in OF_A_CLOUD),
    *(f"os_migrate_{side}conversion_{name}" for side in ("src_", "dst_", "") for name in OF_A_HOST),
]


@pytest.mark.parametrize("name", EVERY)
def test_every_variable_that_os_migrate_documents_is_read_or_has_a_reason(name: str) -> None:
    assert name in KNOWN
    assert bool(without_effect({name: 1})) is not KNOWN[name].read


def test_the_table_says_of_hosts_what_hosts_read() -> None:
    said = {name for name, variable in KNOWN.items() if variable.read and "conversion_" in name}
    read = {f"os_migrate_conversion_{name}" for name in (*hosts.OF_A_SIDE, *hosts.OF_BOTH)}
    assert said == read | {f"os_migrate_{side}_conversion_{name}" for side in SIDES for name in hosts.OF_A_SIDE}


def test_the_table_names_each_filter_that_counts() -> None:
    said = {name for name, variable in KNOWN.items() if variable.read and name.endswith("_filter")}
    assert said == set(FILTERS)


def test_the_data_directory_is_the_variables_unless_one_is_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"os_migrate_data_dir": str(tmp_path / "theirs")}
    assert options.directory(None, said) == tmp_path / "theirs"
    assert options.directory(tmp_path / "theirs", said) == tmp_path / "theirs"
    assert capsys.readouterr().err == ""
    assert options.directory(tmp_path / "ours", said) == tmp_path / "ours"
    assert "os_migrate_data_dir is" in capsys.readouterr().err
    with pytest.raises(Error, match="os_migrate_data_dir"):
        options.directory(None, {})
    with pytest.raises(Error, match="os_migrate_data_dir: a template"):
        options.directory(None, {"os_migrate_data_dir": "{{ home }}"})


def test_a_file_that_would_keep_us_waiting_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.yml")
    (tmp_path / "zero.yml").symlink_to("/dev/zero")
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (tmp_path / "bomb.yml").write_text("\n".join(lines))
    for name in ("fifo.yml", "zero.yml", "bomb.yml"):
        with pytest.raises(Error, match=name.replace(".", r"\.")):
            read(tmp_path / name)


@pytest.mark.parametrize("items", [None, "a", {"regex": "a"}, [1], [None], [{"regex": "["}], [{"regexp": "a"}]])
def test_a_filter_that_makes_no_sense_is_named(items: Any) -> None:
    with pytest.raises(Error, match="os_migrate_networks_filter: "):
        filters({"os_migrate_networks_filter": items})


def test_credentials_become_a_clouds_file() -> None:
    assert clouds(VARIABLES) == {
        "clouds": {
            "src": {
                "auth": AUTH,
                "region_name": "one",
                "auth_type": "password",
                "verify": False,
                "cacert": "/ca.pem",
                "cert": "/c.pem",
                "key": "/k.pem",
                "block_storage_api_version": 3,
            },
            "dst": {"auth": {**AUTH, "auth_url": "https://dst:5000/v3"}},
        }
    }


def test_one_side_alone_is_fine_and_none_is_not() -> None:
    assert list(clouds({"os_migrate_dst_auth": AUTH})["clouds"]) == ["dst"]
    with pytest.raises(Error, match="neither os_migrate_src_auth nor os_migrate_dst_auth"):
        clouds({"os_migrate_data_dir": "/data"})


@pytest.mark.parametrize("auth", ["text", [], 5])
def test_credentials_that_are_no_mapping_are_named(auth: Any) -> None:
    with pytest.raises(Error, match="os_migrate_src_auth: expected auth_url"):
        clouds({"os_migrate_src_auth": auth})


@pytest.mark.parametrize("mode", [0o644, 0o666, None])
def test_the_clouds_file_is_for_its_owner_only(tmp_path: Path, mode: int | None) -> None:
    path = tmp_path / "new" / "clouds.yaml"
    if mode is not None:
        path.parent.mkdir()
        path.touch()
        path.chmod(mode)
    write_clouds(VARIABLES, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert yaml.safe_load(path.read_text()) == clouds(VARIABLES)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"- a",
        b"a: [",
        b"\xff\xfe\xfa",
        b"os_migrate_src_auth: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  66",
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vars.yml"
    path.write_bytes(content)
    with pytest.raises(Error, match=r"vars\.yml"):
        read(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Error, match=r"nothing\.yml can't be read"):
        read(tmp_path / "nothing.yml")


def test_an_error_in_a_file_of_secrets_shows_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "vars.yml"
    path.write_text(f'os_migrate_src_auth:\n  password: "{CANARY}\n  username: me\n\tx')
    with pytest.raises(Error) as caught:
        read(path)
    assert CANARY not in str(caught.value)


def test_a_template_that_ansible_would_fill_in_is_refused() -> None:
    with pytest.raises(Error, match="os_migrate_src_auth"):
        clouds({"os_migrate_src_auth": {**AUTH, "password": "{{ lookup('env', 'PASSWORD') }}"}})


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"os_migrate_src_auth": "{{ lookup('env', 'AUTH') }}"}, "os_migrate_src_auth: a template"),
        ({"os_migrate_src_auth": {**AUTH, "password": "{% if x %}y{% endif %}"}}, "os_migrate_src_auth.password: a"),
        ({"os_migrate_dst_auth": AUTH, "os_migrate_dst_region_name": "{{ region }}"}, "os_migrate_dst_region_name: a"),
        ({"os_migrate_dst_auth": AUTH, "os_migrate_dst_validate_certs": "{{ x }}"}, "os_migrate_dst_validate_certs: a"),
    ],
)
def test_a_template_is_named_wherever_it_would_be_used(variables: Any, named: str) -> None:
    with pytest.raises(Error) as caught:
        clouds({"os_migrate_data_dir": "{{ home }}/data", **variables})
    assert named in str(caught.value)


def test_a_template_among_filters_is_named() -> None:
    with pytest.raises(Error, match=r"os_migrate_networks_filter\.0: a template"):
        filters({"os_migrate_networks_filter": ["{{ name }}"]})


@pytest.mark.parametrize(
    "password", [f"*{CANARY}", f"!{CANARY}", f"!x!{CANARY}", f"!!int {CANARY}", f"!!bool {CANARY}"]
)
def test_what_looks_like_yaml_in_a_password_is_not_shown(tmp_path: Path, password: str) -> None:
    path = tmp_path / "vars.yml"
    path.write_text(f"os_migrate_src_auth:\n  password: {password}\n")
    with pytest.raises(Error, match=r"vars\.yml") as caught:
        read(path)
    assert CANARY not in str(caught.value)
