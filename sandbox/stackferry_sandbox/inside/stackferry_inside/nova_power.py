"""The part of the nova virt driver that switches servers on and off."""

from pathlib import Path
from typing import Any

import nova.conf
from nova import exception
from nova.compute import power_state
from nova.virt import fake
from oslo_config import cfg

from stackferry_inside.machine import Machine
from stackferry_inside.machines import machine_at
from stackferry_inside.server_folder import describe

CONF = nova.conf.CONF
CONF.register_opts([cfg.StrOpt("sandbox_hosts", default="$state_path/hosts")])


def path_of(instance: Any) -> Path:
    """The folder of a server; it need not exist."""
    return Path(CONF.sandbox_hosts) / instance.uuid


def machine_of(instance: Any) -> Machine:
    """What stands for a server."""
    return machine_at(path_of(instance))


class PowerDriver(fake.FakeDriverWithoutFakeNodes):  # type: ignore[misc]
    """Servers with power. (The plain FakeDriver makes a new node at each restart.)"""

    def power_off(self, instance: Any, timeout: int = 0, retry_interval: int = 0) -> None:
        """Switch the server off."""
        super().power_off(instance, timeout, retry_interval)
        machine_of(instance).power_off(timeout)
        self.save(instance)

    def power_on(self, context: Any, instance: Any, network_info: Any, *args: Any, **options: Any) -> None:
        """Switch the server on."""
        super().power_on(context, instance, network_info, *args, **options)
        self.save(instance)
        machine_of(instance).power_on()

    def reboot(self, context: Any, instance: Any, network_info: Any, kind: str, *more: Any, **options: Any) -> None:
        """Switch the server off and on."""
        machine_of(instance).power_off(CONF.shutdown_timeout if kind == "SOFT" else 0)
        super().reboot(context, instance, network_info, kind, *more, **options)

    def unrescue(self, context: Any, instance: Any) -> None:
        """Switch the server on; nova has switched it off for the rescue."""
        super().unrescue(context, instance)
        self.save(instance)
        machine_of(instance).power_on()

    def pause(self, instance: Any) -> None:
        """Say that the server is paused."""
        self.set_power_state(instance, power_state.PAUSED)

    def unpause(self, instance: Any) -> None:
        """Say that the server runs."""
        self.set_power_state(instance, power_state.RUNNING)

    def suspend(self, context: Any, instance: Any) -> None:
        """Say that the server is suspended."""
        self.set_power_state(instance, power_state.SUSPENDED)

    def resume(self, context: Any, instance: Any, network_info: Any, *more: Any, **options: Any) -> None:
        """Say that the server runs."""
        self.set_power_state(instance, power_state.RUNNING)

    def set_power_state(self, instance: Any, state: int) -> None:
        """Change what is said of a server."""
        if instance.uuid not in self.instances:
            raise exception.InstanceNotFound(instance_id=instance.uuid)
        self.instances[instance.uuid].state = state
        self.save(instance)

    def save(self, instance: Any, network_info: Any = None) -> None:
        """Write down what is known of a server."""
        description = describe(instance, self.instances[instance.uuid].state, network_info)
        machine_of(instance).folder.update(description)
