"""Load each service's WSGI application, and say how to start the workers that belong to it."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Loaded = tuple[Any, Callable[[], None] | None]
"""An application, and what starts its workers."""

WORKERS: list[Any] = []
"""Keeps the workers alive."""


def keystone(etc: Path) -> Loaded:
    """The identity API."""
    os.environ["OS_KEYSTONE_CONFIG_DIR"] = str(etc)
    from keystone.wsgi.api import application

    return application, None


def glance(etc: Path) -> Loaded:
    """The image API."""
    os.environ["OS_GLANCE_CONFIG_DIR"] = str(etc)
    from glance.wsgi.api import application

    return application, None


def placement(etc: Path) -> Loaded:
    """The placement API."""
    os.environ["OS_PLACEMENT_CONFIG_DIR"] = str(etc)
    from placement.wsgi.api import application

    return application, None


def neutron(etc: Path) -> Loaded:
    """The network API. There are no agents: the mechanism driver says what they would say."""
    os.environ["OS_NEUTRON_CONFIG_DIR"] = str(etc)
    os.environ["OS_NEUTRON_CONFIG_FILES"] = "neutron.conf"
    # isort: off
    from neutron.wsgi.api import application
    from neutron import policy
    # isort: on

    policy.init()  # else the first requests, side by side, meet an enforcer that has no rules yet, and are refused
    return application, None


def nova(etc: Path) -> Loaded:
    """The compute API, conductor, scheduler and one compute host."""
    os.environ["OS_NOVA_CONFIG_DIR"] = str(etc)
    # isort: off
    from nova.wsgi.osapi_compute import application
    import nova.conf
    import nova.virt
    import os_brick
    import os_vif
    from nova import context, policy, service
    from nova.compute import rpcapi as compute_rpcapi
    from nova.conductor import rpcapi as conductor_rpcapi
    from nova.objects import host_mapping
    from nova.scheduler import rpcapi as scheduler_rpcapi
    from stackferry_inside import guest_driver
    # isort: on

    # nova loads virt drivers from its own package only.
    sys.modules["nova.virt.stackferry"] = guest_driver
    nova.virt.stackferry = guest_driver
    os_brick.setup(nova.conf.CONF)
    os_vif.initialize()
    policy.init()  # as neutron's

    def start() -> None:
        # No indirection through the conductor is set up: all have direct access to the database, and in
        # one process a call to the conductor would come back to the caller.
        for binary, topics in (
            ("nova-conductor", {"topic": conductor_rpcapi.RPC_TOPIC}),
            ("nova-scheduler", {"topic": scheduler_rpcapi.RPC_TOPIC}),
            ("nova-compute", {"topic": compute_rpcapi.RPC_TOPIC, "topic_alt": compute_rpcapi.RPC_TOPIC_ALT}),
        ):
            worker = service.Service.create(binary=binary, **topics)
            worker.start()
            WORKERS.append(worker)
        # Only a host that is mapped to the cell is used; there is no periodic discovery.
        host_mapping.discover_hosts(context.get_admin_context())

    return application, start


def cinder(etc: Path) -> Loaded:
    """The volume API, scheduler and one volume back end."""
    sys.argv = ["cinder-api", "--config-file", str(etc / "cinder.conf")]
    # isort: off
    from cinder.cmd import volume  # registers command line options: before the application
    from cinder.wsgi.api import application
    import os_brick
    from cinder import policy
    from cinder.image import image_utils
    from oslo_config import cfg
    from stackferry_inside import cinder_workers
    # isort: on

    os_brick.setup(cfg.CONF)
    policy.init()  # as neutron's

    def no_proxy(target: Any, *_: Any, **__: Any) -> Any:
        return target

    # It wraps files so that eventlet's thread pool reads them; there is no eventlet to do it.
    image_utils.tpool.Proxy = no_proxy
    return application, lambda: WORKERS.extend(cinder_workers.start(volume.host_opt))


LOADERS: dict[str, Callable[[Path], Loaded]] = {
    "keystone": keystone,
    "glance": glance,
    "placement": placement,
    "neutron": neutron,
    "nova": nova,
    "cinder": cinder,
}
