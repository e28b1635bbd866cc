"""The agent's settings."""

from __future__ import annotations

from dataclasses import dataclass

from marshmallow import validate
from stackferry_runtime.settings import Common, setting


@dataclass(frozen=True)
class Settings(Common):
    """The agent on a conversion host: moves the bytes of the volumes that are attached to this host."""

    cloud: str = setting("", "name of this host's cloud in the services' clouds.yaml")
    project: str = setting("", "project of this host as migrations name it; empty: the one of the credentials")
    server_id: str = setting(
        "",
        "id of the server that this is, also for {server_id} in AMQP_URI; empty: as cloud-init or the firmware says",
    )
    instance: str = setting("", "what tells the agents of one host apart: 1, 2 ...")
    host_name: str = setting("", "what people call this host; empty: what it calls itself")
    slots: int = setting(4, "volumes that it works on at once", validate.Range(1, 1000))
    devices_dir: str = setting("/dev/disk/by-id", "folder with links that name devices by their volumes' ids")
    state_dir: str = setting("/var/lib/stackferry", "folder of its key and of the journals, for all agents of a host")
    listen_address: str = setting(
        "", "address that it offers volumes at, which the other hosts reach; empty: that by which it reaches the broker"
    )
    listen_port: int = setting(
        0, "port that the first agent of a host offers volumes at, the n-th n - 1 above; 0: any free one",
        validate.Range(0, 65535),
    )  # fmt: skip
    advertise_address: str = setting(
        "", "address that it tells others, when it's reached by another one (a floating IP); empty: listen_address"
    )
    nbd_port: int = setting(
        0, "first of the ports that nbdkit listens at (engine: nbd), two for each slot; 0: any free ones",
        validate.Range(0, 65535),
    )  # fmt: skip
    tunnel: str = setting(
        "", "how ssh reaches the hosts that offer volumes, where only its port is open: user@host, or user@{host} for "
        "the offering host itself; a port other than 22 follows after a space; empty: directly",
    )  # fmt: skip
    tunnel_key: str = setting("", "private key (file, 0600) that ssh uses for that")
    tunnel_known_hosts: str = setting("", "known_hosts file with the keys of the hosts that ssh may reach")
    bandwidth: float = setting(0.0, "bytes a second that it sends at most; 0: no limit", validate.Range(min=0))
