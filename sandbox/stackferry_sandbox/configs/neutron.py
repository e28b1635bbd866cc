"""neutron.conf, including what is usually in ml2_conf.ini."""

from stackferry_sandbox.configs.common import (
    CloudSettings,
    Sections,
    client_options,
    default_options,
    shared_sections,
)

SERVICE_PLUGINS = (
    "router",
    "qos",
    "trunk",
    "port_forwarding",
    "network_ip_availability",
    "auto_allocate",
    "segments",
)
EXTENSION_DRIVERS = ("port_security", "qos", "dns_domain_ports", "tag_ports_during_bulk_creation")

# 'openvswitch' never binds a port, since no agent lives here, but it brings the QoS and trunk drivers
# without which those plugins don't load. 'stackferry' binds every port.
MECHANISM_DRIVERS = ("openvswitch", "stackferry")

UNLIMITED = (
    "network",
    "subnet",
    "port",
    "router",
    "floatingip",
    "security_group",
    "security_group_rule",
    "trunk",
    "rbac_policy",
)


def sections(cloud: CloudSettings) -> Sections:
    """ML2 with the extensions of a real cloud, and no agents."""
    return shared_sections(cloud) | {
        "DEFAULT": default_options(cloud, "neutron")
        | {
            "core_plugin": "ml2",
            "auth_strategy": "keystone",
            "service_plugins": ",".join(SERVICE_PLUGINS),
            "dhcp_agent_notification": False,
            "dns_domain": f"{cloud.name}.example.",
            "notify_nova_on_port_status_changes": True,
            "notify_nova_on_port_data_changes": True,
            "rpc_workers": 0,
            "api_workers": 1,
        },
        "database": {"connection": cloud.database("neutron")},
        "nova": client_options(cloud),
        # The segments plugin asks placement whenever a network goes.
        "placement": client_options(cloud),
        "ml2": {
            "type_drivers": "flat,vlan,vxlan",
            "tenant_network_types": "vxlan",
            "mechanism_drivers": ",".join(MECHANISM_DRIVERS),
            "extension_drivers": ",".join(EXTENSION_DRIVERS),
        },
        "ml2_type_flat": {"flat_networks": "*"},
        # Every id of these ranges becomes a database row at start: keep them small.
        "ml2_type_vlan": {"network_vlan_ranges": "physnet1:100:299"},
        "ml2_type_vxlan": {"vni_ranges": "1:1500"},
        "quotas": {f"quota_{resource}": -1 for resource in UNLIMITED},
    }
