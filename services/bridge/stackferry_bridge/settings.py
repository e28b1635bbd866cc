"""The bridge's settings."""

from __future__ import annotations

from dataclasses import dataclass

from marshmallow import validate
from stackferry.roles import ROLES
from stackferry_runtime.settings import Common, setting

TARGETS = ("webhooks", "file", "nats", "kafka", "mqtt", "oslo")


@dataclass(frozen=True)
class Settings(Common):
    """The bridge: carries what is told of migrations to other systems, at least once each and in order."""

    to: str = setting("webhooks", f"where to: {', '.join(TARGETS)}", validate.OneOf(TARGETS))
    target: str = setting(
        "",
        "file: its path; nats: nats://host:4222; kafka: host:port,host:port; mqtt: mqtt(s)://user:password@host:port; "
        "oslo: rabbit://user:password@host:5672/vhost, as transport_url of OpenStack's services",
    )
    webhooks: str = setting("", "file (YAML) of the webhooks; it's read again when it has changed")
    begin: str = setting(
        "newest", "where the first start begins: newest (what is told from then on), or oldest (all that is kept)",
        validate.OneOf(("newest", "oldest")),
    )  # fmt: skip
    state_dir: str = setting("/var/lib/stackferry/bridge", "folder where it notes how far each target is")
    requests: str = setting(
        "", "nats: the subject from which requests are taken, and answered, such as stackferry.requests; empty: none"
    )
    requests_role: str = setting(
        "operator", "what requests may do: viewer, operator or admin (docs/bus.md)", validate.OneOf(ROLES)
    )
    answer_within: float = setting(
        30.0, "seconds after which a request that nobody answers is given up", validate.Range(min=1)
    )
