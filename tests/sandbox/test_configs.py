"""The configuration files of a cloud, as data and as text."""

import configparser
import re
from pathlib import Path

import pytest
from stackferry_sandbox.configs import FILES, CloudSettings, as_ini, config_files

SETTINGS = CloudSettings(
    name="src", root=Path("/state/clouds/src"), venv=Path("/state/venv"), first_port=18000, service_password="s3cret"
)


def read(file: str) -> configparser.ConfigParser:
    """A file as oslo.config would read it."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(as_ini(config_files(SETTINGS)[file]))
    return parser


def test_booleans_are_written_as_oslo_config_reads_them() -> None:
    assert as_ini({"a": {"yes": True, "no": False, "number": 1}, "b": {"path": Path("/x")}}) == (
        "[a]\nyes = true\nno = false\nnumber = 1\n\n[b]\npath = /x\n"
    )


@pytest.mark.parametrize("file", FILES)
def test_everything_stays_on_loopback(file: str) -> None:
    text = as_ini(config_files(SETTINGS)[file])
    hosts = re.findall(r"https?://([^/:\s]+)", text)
    assert set(hosts) <= {"127.0.0.1"}
    assert "0.0.0.0" not in text


@pytest.mark.parametrize("file", FILES)
def test_every_path_lies_in_the_cloud_or_in_the_environment(file: str) -> None:
    for section in read(file).values():
        for value in section.values():
            for path in re.findall(r"(?:^|//)(/[a-z][^\s,]*)", value):
                assert path.startswith(("/state/clouds/src/", "/state/venv/"))


@pytest.mark.parametrize("file", FILES)
def test_ports_are_those_of_the_cloud(file: str) -> None:
    ports = re.findall(r"127\.0\.0\.1:(\d+)", as_ini(config_files(SETTINGS)[file]))
    assert {int(port) for port in ports} <= set(range(18000, 18006))


@pytest.mark.parametrize("file", sorted(set(FILES) - {"keystone.conf"}))
def test_services_log_in_with_the_clouds_own_password(file: str) -> None:
    section = read(file)["keystone_authtoken"]
    assert section["auth_url"] == "http://127.0.0.1:18000/v3"
    assert section["username"] == section["project_name"] == "service"
    assert section["password"] == "s3cret"


def test_neutron_has_our_driver_beside_the_one_that_brings_qos_and_trunks() -> None:
    assert read("neutron.conf")["ml2"]["mechanism_drivers"] == "openvswitch,stackferry"


def test_glance_tells_nobody_where_its_files_are() -> None:
    assert not {"show_multiple_locations", "show_image_direct_url"} & set(read("glance-api.conf")["DEFAULT"])
