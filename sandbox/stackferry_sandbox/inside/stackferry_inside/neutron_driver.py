"""ML2 mechanism driver: binds every port, and says what agents would say.

There are no agents. What an L3 or Open vSwitch agent would report as ACTIVE (router ports, floating
IPs, trunks) is set here when neutron announces a change. Loaded beside ``openvswitch``, whose QoS and
trunk drivers the plugins insist on.
"""

from typing import Any

from neutron_lib import constants, context
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.db import api as db_api
from neutron_lib.plugins import constants as plugins
from neutron_lib.plugins import directory
from neutron_lib.plugins.ml2 import api


class AnyHostDriver(api.MechanismDriver):  # type: ignore[misc]
    """Binds ports on any host."""

    def initialize(self) -> None:
        """Listen to what agents would act upon."""
        for event in (events.AFTER_CREATE, events.AFTER_UPDATE):
            registry.subscribe(floating_ip_changed, resources.FLOATING_IP, event)
            registry.subscribe(port_changed, resources.PORT, event)
        registry.subscribe(trunk_changed, resources.TRUNK, events.AFTER_CREATE)
        for event in (events.AFTER_CREATE, events.AFTER_DELETE):
            registry.subscribe(trunk_changed, resources.SUBPORTS, event)

    @property
    def connectivity(self) -> str:
        """What a network of ours provides."""
        return portbindings.CONNECTIVITY_L2

    def bind_port(self, context: Any) -> None:
        """Bind a port to its first segment."""
        if context.segments_to_bind:
            details = {
                portbindings.CAP_PORT_FILTER: True,
                portbindings.VIF_DETAILS_CONNECTIVITY: portbindings.CONNECTIVITY_L2,
            }
            context.set_binding(
                context.segments_to_bind[0][api.ID],
                portbindings.VIF_TYPE_OVS,
                details,
                status=constants.PORT_STATUS_ACTIVE,
            )


def port_changed(_resource: str, _event: str, _trigger: object, payload: Any) -> None:
    """Bring up a port that belongs to a router or to another part of the network."""
    port = payload.latest_state
    owner = port.get("device_owner", "")
    if (
        owner.startswith("network:")
        and owner != constants.DEVICE_OWNER_FLOATINGIP
        and port.get("status") == constants.PORT_STATUS_DOWN
        and port.get("device_id")
    ):
        activate_port(port["id"])


def activate_port(port_id: str) -> None:
    """Set a port's status in the database.

    The plugin's own way loads and announces the port again: a tenth of the time that a router takes.
    """
    from neutron.db import models_v2

    admin = context.get_admin_context()
    with db_api.CONTEXT_WRITER.using(admin):
        port = admin.session.query(models_v2.Port).filter_by(id=port_id)
        port.update({"status": constants.PORT_STATUS_ACTIVE}, synchronize_session=False)


def floating_ip_changed(_resource: str, _event: str, _trigger: object, payload: Any) -> None:
    """Bring up a floating IP that has a port behind it, and down one that has none."""
    floating_ip = payload.latest_state
    status = constants.FLOATINGIP_STATUS_ACTIVE if floating_ip.get("router_id") else constants.FLOATINGIP_STATUS_DOWN
    if floating_ip.get("status") != status:
        directory.get_plugin(plugins.L3).update_floatingip_status(
            context.get_admin_context(), floating_ip["id"], status
        )


def trunk_changed(_resource: str, _event: str, _trigger: object, payload: Any) -> None:
    """Bring up a trunk."""
    # Its module can't be imported before neutron's plugins are loaded.
    from neutron.objects import trunk as trunks

    trunk = trunks.Trunk.get_object(context.get_admin_context(), id=payload.resource_id)
    if trunk:
        trunk.update(status="ACTIVE")
