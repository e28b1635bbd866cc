"""placement.conf."""

from stackferry_sandbox.configs.common import CloudSettings, Sections, log_options, shared_sections


def sections(cloud: CloudSettings) -> Sections:
    """Nothing special."""
    return shared_sections(cloud) | {
        "DEFAULT": log_options(cloud, "placement"),
        "placement_database": {"connection": cloud.database("placement")},
        "api": {"auth_strategy": "keystone"},
    }
