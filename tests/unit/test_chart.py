"""The Helm chart: rendered by Helm's own code, judged by Kubernetes' schemas, and it promises what compose does."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from stackferry import topology

from ..charts import CHART, ROOT, NotRendered, rendered

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="optional: helm-python-sdk is for x86_64")

INGRESS = {"enabled": True, "host": "ferry.example.org", "tlsSecret": "ferry-tls"}
EVERYTHING: dict[str, Any] = {
    "image": {"registry": "registry.example.org/ferry", "tag": "7", "pullSecrets": ["mine"]},
    "exporter": {"files": ["ca.pem"], "env": {"STACKFERRY_CLOUD_CONCURRENCY": 4}},
    "bridge": {"enabled": True, "targetKey": "target", "env": {"STACKFERRY_TO": "nats"}},
    "rabbitmq": {"hosts": {"enabled": True}},
    "gateway": {"keystone": True, "ingress": INGRESS},
    "autoscaling": {"enabled": True},
    "podMonitor": {"enabled": True},
    "networkPolicy": {"monitoring": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "seen"}}}]},
}
#: what each part may read of the Secret, by hand; anything else is somebody else's
MAY_READ = {
    "exporter": {"amqp-exporter", "clouds-source.yaml", "ca.pem"},
    "importer": {"amqp-importer", "clouds-destination.yaml"},
    "coordinator": {"amqp-coordinator", "database-url", "clients.yaml"},
    "gateway": {"amqp-gateway", "tokens.yaml", "session-key", "keystone.yaml"},
    "bridge": {"amqp-bridge", "webhooks.yaml", "target"},
    "rabbitmq": {"rabbitmq-definitions.json", "broker-identity.pem"},
    "postgresql": {"database-password"},
}


@cache
def made(which: str = "everything") -> list[dict[str, Any]]:
    without = {"rabbitmq": {"enabled": False}, "postgresql": {"enabled": False}, "bridge": {"enabled": True}}
    return rendered({"everything": EVERYTHING, "defaults": {}, "without": without}[which])


def of(kind: str, which: str = "everything") -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in made(which) if one["kind"] == kind}


def pods() -> dict[str, dict[str, Any]]:
    found = {**of("Deployment"), **of("StatefulSet")}
    return {name: one["spec"]["template"]["spec"] for name, one in found.items()}


@pytest.mark.parametrize("version", ["1.25", "1.31", "1.37"])
@pytest.mark.parametrize("which", ["everything", "defaults", "without"])
def test_kubernetes_knows_every_field(which: str, version: str) -> None:
    own = [one for one in made(which) if not one["apiVersion"].startswith(("keda.sh/", "monitoring.coreos.com/"))]
    assert len(own) >= 10
    for one in own:
        kubernetes_validate.validate(one, version, strict=True)


def test_each_pod_reads_its_own_secrets_only() -> None:
    secrets = {
        name: {
            item["key"]: item["path"]
            for volume in pod["volumes"]
            if "secret" in volume
            for item in volume["secret"]["items"]  # without items it would be all of them
        }
        for name, pod in pods().items()
    }
    assert {name: set(items) for name, items in secrets.items()} == MAY_READ
    for name, pod in pods().items():
        for variable in pod["containers"][0].get("env", []):
            value = str(variable.get("value", ""))
            assert "secretKeyRef" not in str(variable), "what is in the environment is seen by all that it starts"
            if value.startswith("/run/secrets/"):
                assert value.removeprefix("/run/secrets/") in secrets[name].values()


def test_the_secret_is_what_compose_secrets_writes(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "deploy/compose-secrets"), "--folder", str(tmp_path)]
    subprocess.run([*command, "--broker-name", "ferry.example.org"], check=True, capture_output=True)
    written = {file.name for file in tmp_path.iterdir()}
    assert set.union(*MAY_READ.values()) - {"ca.pem", "keystone.yaml", "target"} <= written


def test_a_setting_is_what_the_services_know() -> None:
    known = (ROOT / "docs" / "settings.md").read_text()
    for pod in pods().values():
        for variable in pod["containers"][0].get("env", []):
            if variable["name"].startswith("STACKFERRY_"):
                assert variable["name"].removesuffix("_FILE") in known


def test_a_pod_can_do_no_more_than_it_needs() -> None:
    for pod in pods().values():
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False, "a Service named gateway would be read as STACKFERRY's or RABBITMQ's"
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch", "or it starts once, and not again"
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert container["livenessProbe"]
            assert container["readinessProbe"]


def test_the_exporter_offers_at_its_pods_address() -> None:
    (offer,) = (v for v in pods()["exporter"]["containers"][0]["env"] if v["name"] == "STACKFERRY_OFFER_ADDRESS")
    assert offer["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}


def test_everything_is_cut_off_but_for_what_it_speaks_to() -> None:
    policies = of("NetworkPolicy")
    assert set(policies) == set(pods())
    to: dict[str, set[str]] = {}
    for name, policy in policies.items():
        assert policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == name
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        to[name] = set()
        for rule in policy["spec"]["egress"]:
            if "to" not in rule:  # to everywhere
                assert {port["port"] for port in rule["ports"]} == {53}
            for peer in rule.get("to", []):
                labels = peer.get("podSelector", {}).get("matchLabels", {})
                to[name].add(labels.get("app.kubernetes.io/component", "outside"))
    assert to == {
        "exporter": {"rabbitmq", "outside"},
        "importer": {"rabbitmq", "exporter", "outside"},
        "coordinator": {"rabbitmq", "postgresql"},
        "gateway": {"rabbitmq", "outside"},  # outside: Keystone
        "bridge": {"rabbitmq", "outside"},
        "rabbitmq": set(),
        "postgresql": set(),
    }
    assert not [r for r in of("NetworkPolicy", "defaults")["gateway"]["spec"]["egress"] if "ipBlock" in str(r)]
    assert "ipBlock" in str(of("NetworkPolicy", "without")["coordinator"]["spec"]["egress"])


def test_nobody_is_reached_but_by_whom_it_serves() -> None:
    came: dict[str, list[Any]] = {}
    for name, policy in of("NetworkPolicy", "defaults").items():
        came[name] = []
        for rule in policy["spec"]["ingress"] or ():
            ports = [port["port"] for port in rule.get("ports", [])]
            peers = [str(peer.get("podSelector")) for peer in rule.get("from", ["everybody"]) if peer != "everybody"]
            came[name].append((ports, "everybody" if "from" not in rule else peers))
    assert came["coordinator"] == []
    assert came["importer"] == []
    assert came["gateway"] == [(["http"], "everybody")]
    ((ports, peers),) = came["postgresql"]
    assert ports == ["postgresql"]
    assert "'app.kubernetes.io/component': 'coordinator'" in peers[0]
    ((ports, peers),) = came["exporter"]
    assert "'app.kubernetes.io/component': 'importer'" in peers[0]
    ((ports, peers),) = came["rabbitmq"]
    assert ports == ["amqp"]
    assert "['exporter', 'importer', 'coordinator', 'gateway']" in peers[0]


def test_large_numbers_keep_their_digits() -> None:
    said = {"STACKFERRY_BODY_BYTES": 134217728, "STACKFERRY_RATE": 0.5, "STACKFERRY_TLS_ELSEWHERE": True}
    (gateway,) = (
        one
        for one in rendered({"gateway": {"env": said}})
        if one["kind"] == "Deployment" and one["metadata"]["name"] == "gateway"
    )
    env = {v["name"]: v.get("value") for v in gateway["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert [env[name] for name in said] == ["134217728", "0.5", "true"]


def test_a_service_may_have_another_version_and_a_tag_may_be_a_number() -> None:
    made = rendered({"image": {"tag": 2}, "importer": {"tag": "3"}})
    images = {one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"][0]["image"]
              for one in made if one["kind"] == "Deployment"}  # fmt: skip
    assert images["exporter"] == "stackferry-exporter:2"
    assert images["importer"] == "stackferry-importer:3"


def test_keda_looks_at_every_queue_that_they_work_through() -> None:
    for service, one in of("ScaledObject").items():
        queues = [trigger["metadata"]["queueName"] for trigger in one["spec"]["triggers"]]
        assert queues == [queue.name for queue in topology.WORK_QUEUES if queue.service == service]
        assert one["spec"]["scaleTargetRef"] == {"name": service}
        assert "replicas" not in of("Deployment")[service]["spec"], "two would say how many there are"
        (asked,) = of("TriggerAuthentication")[service]["spec"]["secretTargetRef"]
        assert asked == {"parameter": "host", "name": "stackferry", "key": f"amqp-{service}"}
    assert of("Deployment", "defaults")["importer"]["spec"]["replicas"] == 2


def test_the_broker_reads_what_the_one_of_compose_does() -> None:
    conf = of("ConfigMap")["rabbitmq"]["data"]
    for name, file in {"50-stackferry.conf": "rabbitmq.conf", "60-stackferry-tls.conf": "rabbitmq-tls.conf"}.items():
        ours = (ROOT / "deploy" / file).read_text().strip()
        assert conf[name].strip().startswith(ours)
        more = conf[name].strip().removeprefix(ours).splitlines()
        assert [line for line in more if line and not line.startswith("#")] == (
            ["total_memory_available_override_value = 2147483648"] if file == "rabbitmq.conf" else []
        )


def test_of_the_bridge_there_is_one() -> None:
    assert of("Deployment")["bridge"]["spec"]["strategy"] == {"type": "Recreate"}
    assert of("Deployment")["bridge"]["spec"]["replicas"] == 1


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"exportr": {}}, "exportr"),
        ({"exporter": {"replica": 2}}, "replica"),
        ({"exporter": {"env": {"PASSWORD": "x"}}}, "PASSWORD"),
        ({"bridge": {"enabled": True, "replicas": 2}}, "bridge"),
        ({"networkPolicy": {"clouds": ["example.org"]}}, "clouds"),
        ({"gateway": {"ingress": {"enabled": True, "host": "a.example"}}}, "tlsSecret: tokens must not travel"),
        ({"secret": ""}, "secret"),
    ],
)
def test_values_that_make_no_sense_are_refused(values: dict[str, Any], word: str) -> None:
    with pytest.raises(NotRendered, match=word):
        rendered(values)


def test_the_schema_knows_every_value_there_is() -> None:
    schema, values = (
        json.loads((CHART / "values.schema.json").read_text()),
        yaml.safe_load((CHART / "values.yaml").read_text()),
    )

    def compare(about: dict[str, Any], value: Any, path: str) -> None:
        if about.get("additionalProperties") is False:
            assert set(value) == set(about["properties"]) - {"global"}, path
            for name, inner in value.items():
                compare(about["properties"][name], inner, f"{path}.{name}")

    compare(schema, values, "values")
