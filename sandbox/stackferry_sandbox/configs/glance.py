"""glance-api.conf."""

from stackferry_sandbox.configs.common import CloudSettings, Sections, log_options, shared_sections


def sections(cloud: CloudSettings) -> Sections:
    """One store of plain files, and the import methods that a real cloud offers."""
    images = cloud.root / "glance"
    return shared_sections(cloud) | {
        "DEFAULT": log_options(cloud, "glance")
        | {
            "transport_url": "fake://",
            "enabled_backends": "file:file",
            "workers": 1,
            "worker_self_reference_url": cloud.url("glance"),
            "enabled_import_methods": "[glance-direct,web-download,copy-image]",
        },
        "database": {"connection": cloud.database("glance")},
        "paste_deploy": {
            "flavor": "keystone",
            "config_file": cloud.venv / "etc/glance/glance-api-paste.ini",
        },
        "glance_store": {"default_backend": "file"},
        "file": {"filesystem_store_datadir": images / "images"},
        "os_glance_staging_store": {"filesystem_store_datadir": images / "staging"},
        "os_glance_tasks_store": {"filesystem_store_datadir": images / "tasks"},
    }
