"""docker-compose.yml keeps its promises: no secret where others see it, nothing published, each user known."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from cryptography import x509
from stackferry import topology
from stackferry.envelope import MAX_BYTES

ROOT = Path(__file__).parents[2]
FILES = ("docker-compose.yml", "deploy/docker-compose.host.yml", "deploy/docker-compose.hosts.yml")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / FILES[0]).read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
USERS = {user.name for user in topology.USERS}

each_service = pytest.mark.parametrize("name", SERVICES)
each_of_ours = pytest.mark.parametrize("name", OURS)


def test_the_stack_is_the_services_with_their_broker_and_database() -> None:
    assert set(SERVICES) == {"exporter", "importer", "coordinator", "gateway", "bridge", "rabbitmq", "postgresql"}


@each_service
def test_the_environment_names_files_instead_of_secrets(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        assert "://" not in value
        if re.search("PASS|SECRET|TOKEN|URI|URL|CONFIG", variable):
            assert variable.endswith("_FILE") or variable == "STACKFERRY_TOKENS"  # which names a file by itself
            assert value.removeprefix("/run/secrets/") in SERVICES[name]["secrets"]


@each_service
def test_ports_are_published_on_loopback_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@each_service
def test_health_is_checked(name: str) -> None:
    if name in OURS:
        assert "\nHEALTHCHECK " in (ROOT / OURS[name]["build"]["dockerfile"]).read_text()
    else:
        assert SERVICES[name]["healthcheck"]["test"]


@each_service
def test_a_container_has_limits(name: str) -> None:
    assert SERVICES[name]["mem_limit"] == "${STACKFERRY_MEMORY:-2g}"
    assert SERVICES[name]["pids_limit"] == 1024


def test_the_broker_takes_no_longer_messages_than_anybody_sends() -> None:
    conf = (ROOT / "deploy/rabbitmq.conf").read_text()
    assert f"\nmax_message_size = {topology.MAX_MESSAGE_BYTES}\n" in conf
    assert MAX_BYTES <= topology.MAX_MESSAGE_BYTES // 2


@each_service
def test_a_container_can_do_no_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "user" in service or "\nUSER " in (ROOT / service["build"]["dockerfile"]).read_text()


@each_of_ours
def test_a_service_can_be_scaled_and_waits_for_the_broker(name: str) -> None:
    published = {"ports"} if name == "gateway" else set()
    assert not ({"container_name", "hostname", "ports"} - published) & set(OURS[name])
    assert OURS[name]["depends_on"]["rabbitmq"] == {"condition": "service_healthy"}


@each_of_ours
def test_a_service_is_its_own_user_of_the_broker_and_nobody_else(name: str) -> None:
    assert name in USERS
    assert [s for s in OURS[name]["secrets"] if s.startswith("amqp-")] == [f"amqp-{name}"]
    assert OURS[name]["environment"]["STACKFERRY_AMQP_URI_FILE"] == f"/run/secrets/amqp-{name}"


def test_each_side_knows_its_own_clouds_only() -> None:
    known = {name: [s for s in service["secrets"] if s.startswith("clouds-")] for name, service in SERVICES.items()}
    assert known.pop("exporter") == ["clouds-source"]
    assert known.pop("importer") == ["clouds-destination"]
    assert not any(known.values())


@each_of_ours
def test_only_hashed_packages_are_installed(name: str) -> None:
    installs = re.findall(r"pip\S* .*?install .*", (ROOT / OURS[name]["build"]["dockerfile"]).read_text())
    assert installs
    assert all("--require-hashes" in line or "--no-deps wheels/" in line for line in installs)


def test_what_images_are_made_of_gets_to_the_engine() -> None:
    copied = re.findall(r"(?m)^COPY (?!--from)(.*) \S+$", (ROOT / "services" / "Dockerfile").read_text())
    needed = {name.partition("/")[0] if "$" in name else name.rstrip("/") for line in copied for name in line.split()}
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert needed
    assert not {name for name in needed if name not in let_in and name.partition("/")[0] not in let_in}


def secrets(folder: Path, *arguments: str) -> dict[str, str]:
    """What deploy/compose-secrets writes."""
    command = [sys.executable, str(ROOT / "deploy/compose-secrets"), "--folder", str(folder), *arguments]
    subprocess.run(command, check=True, capture_output=True)
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_the_secrets_are_those_that_the_stack_wants(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    written = secrets(folder)
    files = {Path(secret["file"]) for secret in COMPOSE["secrets"].values()}
    assert {file.parent for file in files} == {Path("deploy/secrets")}
    assert set(written) == {file.name for file in files} | {"amqp-client", "amqp-operator", "token"}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert "/secrets/" in (ROOT / "deploy/.gitignore").read_text().split()
    users = {user["name"] for user in json.loads(written["rabbitmq-definitions.json"])["users"]}
    assert users == {urlsplit(uri).username for name, uri in written.items() if name.startswith("amqp-")} == USERS
    assert written["database-password"].strip() in written["database-url"]
    digest = hashlib.sha256(written["token"].strip().encode()).hexdigest()
    assert [one["sha256"] for one in yaml.safe_load(written["tokens.yaml"])["tokens"]] == [digest]
    assert "gateway" in yaml.safe_load(written["clients.yaml"])["clients"], "else the coordinator listens to none of it"


def test_people_come_through_the_published_port_and_services_by_the_brokers_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACKFERRY_AMQP_PORT", "5673")
    uris = {name: uri for name, uri in secrets(tmp_path / "secrets").items() if name.startswith("amqp-")}
    places = {name: urlsplit(uri).netloc.rpartition("@")[2] for name, uri in uris.items()}
    inside = {f"amqp-{name}" for name in OURS}
    assert places == {name: "rabbitmq:5672" if name in inside else "127.0.0.1:5673" for name in uris}


def test_the_services_reach_a_broker_elsewhere_by_the_name_that_was_said_once(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    for arguments in (["--inside", "rabbitmq.moves.svc"], []):
        written = secrets(folder, *arguments)
        assert {urlsplit(written[f"amqp-{name}"]).netloc.rpartition("@")[2] for name in OURS} == {
            "rabbitmq.moves.svc:5672"
        }
        assert urlsplit(written["amqp-client"]).netloc.endswith("@127.0.0.1:5672")
    assert "@broker:5679//" in secrets(folder, "--inside", "broker:5679")["amqp-gateway"]


def test_new_secrets_keep_the_passwords_and_take_the_clouds(tmp_path: Path) -> None:
    folder, clouds = tmp_path / "secrets", tmp_path / "clouds.yaml"
    clouds.write_text("clouds: {old: {}}\n")
    before, after = secrets(folder), secrets(folder, "--source", str(clouds))
    assert after.pop("clouds-source.yaml") == clouds.read_text()
    assert {name for name in after if after[name] != before[name]} == {"rabbitmq-definitions.json"}  # new salts


def test_hosts_reach_the_broker_by_a_name_that_its_certificate_has(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert "agents-amqp-uri" not in secrets(folder)
    named = secrets(folder, "--broker-name", "[2001:db8::1]:5000")
    assert named["agents-amqp-uri"] == "amqps://[2001:db8::1]:5000//\n"  # each host gets a user of its own
    certificate = x509.load_pem_x509_certificate(named["broker-certificate.pem"].encode())
    (address,) = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert str(address.value) == "2001:db8::1"
    assert named["broker-certificate.pem"] in named["broker-identity.pem"]
    assert "PRIVATE" not in named["broker-certificate.pem"]
    again = secrets(folder)
    assert {name for name in again if again[name] != named[name]} == {"rabbitmq-definitions.json"}
    elsewhere = secrets(folder, "--broker-name", "ferry.example.org")
    assert elsewhere["agents-amqp-uri"] == "amqps://ferry.example.org:5671//\n"
    assert elsewhere["broker-certificate.pem"] != named["broker-certificate.pem"]


@pytest.mark.parametrize("name", ["", "2001:db8::1", "ferry:x", ":5671"])
def test_a_name_that_makes_no_sense_is_refused(tmp_path: Path, name: str) -> None:
    command = [sys.executable, str(ROOT / "deploy/compose-secrets"), "--folder", str(tmp_path), "--broker-name", name]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "argument --broker-name: expected ferry.example.org" in refused.stderr
    assert not list(tmp_path.iterdir())


def test_hosts_come_to_an_address_that_somebody_has_named() -> None:
    overlay = yaml.safe_load((ROOT / FILES[2]).read_text())
    assert overlay["services"].keys() == {"rabbitmq"}
    assert overlay["services"]["rabbitmq"]["ports"][0].startswith("${STACKFERRY_AMQPS_LISTEN:?")
    conf = (ROOT / "deploy/rabbitmq-tls.conf").read_text()
    assert "/run/secrets/broker-identity\n" in conf
    assert "/broker-identity.pem" in overlay["secrets"]["broker-identity"]["file"]


@pytest.mark.parametrize("program", ["docker-compose", "docker compose"])
@pytest.mark.parametrize("files", [FILES[:1], FILES[:2], FILES[::2]], ids=["plain", "host", "hosts"])
def test_compose_understands_it(program: str, files: tuple[str, ...]) -> None:
    command = program.split()
    if not shutil.which(command[0]) or subprocess.run([*command, "version"], capture_output=True).returncode:
        pytest.skip(f"optional: {program} is not installed")
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "STACKFERRY_AMQPS_LISTEN": "::1"}
    options = [option for file in files for option in ("-f", file)]
    run = subprocess.run([*command, *options, "config"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert set(yaml.safe_load(run.stdout)["services"]) == set(SERVICES)
