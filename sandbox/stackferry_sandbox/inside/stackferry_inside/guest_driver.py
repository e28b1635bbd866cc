"""nova virt driver: servers that ask for it are real guests, all others are folders.

A server asks by the flavor's extra spec, or its own metadata, ``stackferry:guest`` = ``qemu``.
"""

import contextlib
import copy
import logging
import threading
import time
from pathlib import Path
from typing import Any

from nova import exception
from nova.api.metadata import base as instance_metadata
from nova.compute import power_state
from nova.virt import configdrive, event, hardware

from stackferry_inside.guest_machine import Guest
from stackferry_inside.guest_monitor import GuestError
from stackferry_inside.guest_network import Nic
from stackferry_inside.machines import guests
from stackferry_inside.nova_driver import FolderDriver
from stackferry_inside.nova_power import CONF, machine_of, path_of

KEY, KIND = "stackferry:guest", "qemu"
LOG = logging.getLogger(__name__)
EVERY = 1.0
"""Seconds between two looks for guests that have ended by themselves."""


def asks(instance: Any) -> bool:
    """Whether a server is to be a real guest."""
    return KIND in (instance.flavor.extra_specs.get(KEY), instance.metadata.get(KEY))


def guest_of(instance: Any) -> Guest | None:
    """The guest that is a server, if it is one."""
    machine = machine_of(instance)
    return machine if isinstance(machine, Guest) else None


def nic_of(vif: Any) -> Nic:
    """A port, as nova describes it."""
    network = vif["network"]
    subnets = [subnet for subnet in network["subnets"] if subnet.get("gateway") and subnet["gateway"]["address"]]
    gateways = [f"{subnet['gateway']['address']}/{subnet['cidr'].split('/')[1]}" for subnet in subnets]
    return Nic(vif["id"], network["id"], vif["address"], network.get_meta("mtu") or 1500, gateways)


def make_config_drive(instance: Any, network_info: Any, path: Path) -> None:
    """Make a server's config drive. There is no DHCP server, so it has to say which addresses are whose."""
    fixed = copy.deepcopy(network_info)
    for vif in fixed:
        for subnet in vif["network"]["subnets"]:
            for key in ("dhcp_server", "enable_dhcp"):
                subnet["meta"].pop(key, None)
    metadata = instance_metadata.InstanceMetadata(instance, network_info=fixed, extra_md={})
    with configdrive.ConfigDriveBuilder(instance_md=metadata) as builder:
        builder.make_drive(str(path))


class GuestDriver(FolderDriver):
    """One compute host."""

    def init_host(self, host: str) -> None:
        """Go on with the guests of before a restart; those that a stop of the cloud has ended start again.

        Before nova compares: it would take them for servers that have switched themselves off.
        """
        super().init_host(host)
        for guest in guests(self._cloud):
            try:
                if guest.runs:
                    guest.power_on()
            except (GuestError, OSError):
                LOG.exception("guest %s does not start", guest.folder.path.name)
        threading.Thread(target=self._watch, name="guests", daemon=True).start()

    def spawn(self, context: Any, instance: Any, *given: Any, **options: Any) -> None:
        """Make the server what it asks to be."""
        if asks(instance):
            Guest(path_of(instance)).connect([])
        super().spawn(context, instance, *given, **options)

    def save(self, instance: Any, network_info: Any = None) -> None:
        """Write down what is known of a server; where its ports are known, also what a guest needs of them."""
        super().save(instance, network_info)
        guest = guest_of(instance)
        if guest and network_info is not None:
            guest.connect([nic_of(vif) for vif in network_info])
            make_config_drive(instance, network_info, guest.config_drive)

    def get_info(self, instance: Any, use_cache: bool = True) -> Any:
        """The state of a server's power: a guest may have ended by itself."""
        guest = guest_of(instance)
        if guest and not guest.process:
            return hardware.InstanceInfo(state=power_state.SHUTDOWN)
        return super().get_info(instance, use_cache)

    def set_power_state(self, instance: Any, state: int) -> None:
        """Pause a server, or let it go on."""
        super().set_power_state(instance, state)
        if guest := guest_of(instance):
            guest.hold(state != power_state.RUNNING)

    def detach_volume(
        self, context: Any, connection_info: Any, instance: Any, mountpoint: str, *more: Any, **options: Any
    ) -> None:
        """Take a volume away; a guest may keep it."""
        try:
            super().detach_volume(context, connection_info, instance, mountpoint, *more, **options)
        except GuestError as error:
            raise exception.DeviceDetachFailed(device=mountpoint, reason=str(error)) from error

    def get_console_output(self, context: Any, instance: Any) -> bytes:
        """What a guest has printed."""
        guest = guest_of(instance)
        return guest.printed() if guest else super().get_console_output(context, instance)

    @property
    def _cloud(self) -> Path:
        return Path(CONF.sandbox_hosts).parent

    def _watch(self) -> None:
        """Tell nova of guests that have ended, whoever has started them."""
        ran: set[str] = set()
        while True:
            with contextlib.suppress(FileNotFoundError):  # a server was deleted meanwhile
                run = {guest.folder.path.name for guest in guests(self._cloud) if guest.process}
                for server in (ran - run) & self.instances.keys():
                    self.emit_event(event.LifecycleEvent(server, event.EVENT_LIFECYCLE_STOPPED))
                ran = run
            time.sleep(EVERY)
