"""cinder.conf, for API, scheduler and volume service in one process."""

from stackferry_sandbox.configs.common import (
    CloudSettings,
    Sections,
    client_options,
    default_options,
    shared_sections,
)


def sections(cloud: CloudSettings) -> Sections:
    """One back end whose volumes are sparse files, without quotas."""
    return shared_sections(cloud) | {
        "DEFAULT": default_options(cloud, "cinder")
        | {
            "auth_strategy": "keystone",
            "enabled_backends": "file",
            "resource_query_filters_file": cloud.venv / "etc/cinder/resource_filters.json",
            "glance_api_servers": cloud.url("glance"),
            "image_conversion_dir": cloud.root / "cinder/conversion",
            "periodic_fuzzy_delay": 0,
            "periodic_interval": 30,
            # The scheduler waits so long for back ends to report; the default is a minute.
            "scheduler_driver_init_wait_time": 5,
            "quota_volumes": -1,
            "quota_snapshots": -1,
            "quota_gigabytes": -1,
            "quota_backups": -1,
            "allow_availability_zone_fallback": True,
        },
        "database": {"connection": cloud.database("cinder")},
        "nova": client_options(cloud),
        "coordination": {"backend_url": f"file://{cloud.root}/lock"},
        "file": {
            "volume_driver": "stackferry_inside.cinder_driver.FileDriver",
            "volume_backend_name": "file",
            "sandbox_volumes": cloud.root / "volumes",
        },
    }
