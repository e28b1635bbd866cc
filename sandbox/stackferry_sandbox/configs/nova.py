"""nova.conf, for API, conductor, scheduler and compute in one process."""

from stackferry_sandbox.configs.common import (
    CloudSettings,
    Sections,
    client_options,
    default_options,
    shared_sections,
)
from stackferry_sandbox.services import REGION


def sections(cloud: CloudSettings) -> Sections:
    """One compute host whose servers are folders, and quotas that tests don't reach."""
    return shared_sections(cloud) | {
        "DEFAULT": default_options(cloud, "nova")
        | {
            # nova loads drivers only from nova.virt; ours is put there before.
            "compute_driver": "stackferry.GuestDriver",
            "sandbox_hosts": cloud.root / "hosts",
            "allow_resize_to_same_host": True,
            "vif_plugging_is_fatal": False,
            "vif_plugging_timeout": 0,
            "initial_disk_allocation_ratio": "16.0",
            "resume_guests_state_on_host_boot": False,
            "sync_power_state_interval": 600,
        },
        "wsgi": {"api_paste_config": cloud.venv / "etc/nova/api-paste.ini"},
        "api_database": {"connection": cloud.database("nova_api")},
        "database": {"connection": cloud.database("nova_cell1")},
        "placement": client_options(cloud),
        "neutron": client_options(cloud),
        "cinder": client_options(cloud) | {"os_region_name": REGION},
        "glance": {"endpoint_override": cloud.url("glance")},
        "vnc": {"enabled": False},
        "compute": {"resource_provider_association_refresh": 300},
        "quota": {"instances": 1000, "cores": -1, "ram": -1, "key_pairs": 1000, "server_groups": 100},
    }
