"""Every variable that OS Migrate documents: what it's read for here, or why it has no effect. Data.

Source: OS Migrate's variables guide and walkthrough, and the defaults of its roles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SIDES = ("src", "dst")


@dataclass(frozen=True)
class Variable:
    """One of them. *meaning*: what it's read for; or, when it isn't *read*, why it has no effect."""

    name: str
    meaning: str
    read: bool = True


_SIDES = "{src,dst}_"  # both sides have it, each by a variable of its own
_SIDES_OR_BOTH = "[{src,dst}_]"  # the same, or one without prefix for both
_CLOUD = "`stackferry up --vars` writes it into the services' clouds.yaml; others compare it with that"
_FILTER = "which of them are meant, by name"
_NO_SSH = "nobody logs in to a conversion host: its agents reach each other by TLS with keys of their own"
_RHSM = "a host's image has its repositories; `hosts deploy --pre-hook` runs a script before anything is installed"
_NBDKIT = "disks are read through the clouds' APIs only, not from hypervisors"
_BY_ITSELF = "OS Migrate sets it by itself"
_NOT_MOVED = "such resources don't cross yet"

READ = {
    "os_migrate_data_dir": "the data directory of `export`, `validate`, `plan` and `import`, where they name none",
    f"os_migrate_{_SIDES}auth": _CLOUD,
    f"os_migrate_{_SIDES}region_name": _CLOUD,
    **dict.fromkeys(
        [f"os_migrate_{_SIDES}{name}" for name in ("auth_type", "validate_certs", "ca_cert", "client_cert",
                                                   "client_key", "block_storage_api_version")],
        "`stackferry up --vars` writes it into the services' clouds.yaml",
    ),
    **dict.fromkeys(
        [f"os_migrate_{name}_filter" for name in ("networks", "subnets", "routers", "security_groups", "images",
                                                  "keypairs", "workloads", "volumes", "detached_volumes")],
        _FILTER,
    ),
    "os_migrate_export_images_blobs": "whether `export` writes the payloads of images",
    "os_migrate_image_blobs_dir": "the folder of the payloads of images",
    "os_migrate_workloads_boot_disk_copy": "`export` writes it into the documents of servers; `migrate` and `plan` of "
    "a cloud move all servers so",
    "os_migrate_workload_stop_before_migration": "false: servers that run are waited for until they're shut down",
    f"os_migrate_{_SIDES_OR_BOTH}conversion_host_name": "name of the hosts",
    f"os_migrate_{_SIDES_OR_BOTH}conversion_image_name": "their image",
    f"os_migrate_{_SIDES_OR_BOTH}conversion_flavor_name": "their flavor",
    f"os_migrate_{_SIDES_OR_BOTH}conversion_net_name": "their network",
    f"os_migrate_{_SIDES_OR_BOTH}conversion_subnet_name": "its subnet",
    f"os_migrate_{_SIDES_OR_BOTH}conversion_router_name": "its router",
    f"os_migrate_{_SIDES_OR_BOTH}conversion_secgroup_name": "their security group",
    f"os_migrate_{_SIDES_OR_BOTH}conversion_external_network_name": "the external network of router and floating IPs",
    f"os_migrate_{_SIDES_OR_BOTH}conversion_manage_network": "false: the network is there",
    f"os_migrate_{_SIDES_OR_BOTH}conversion_manage_fip": "false: hosts get no floating IPs",
    f"os_migrate_{_SIDES_OR_BOTH}conversion_floating_ip_address": "the floating IP that a host gets",
    f"os_migrate_{_SIDES_OR_BOTH}conversion_availability_zone": "their availability zone",
    f"os_migrate_{_SIDES_OR_BOTH}conversion_net_mtu": "MTU of their network",
    f"os_migrate_{_SIDES_OR_BOTH}conversion_subnet_dns_nameservers": "their name servers",
    f"os_migrate_{_SIDES_OR_BOTH}conversion_host_boot_from_volume": "true: they boot from volumes",
    f"os_migrate_{_SIDES_OR_BOTH}conversion_host_volume_size": "GiB of these",
    f"os_migrate_{_SIDES_OR_BOTH}conversion_host_pre_content_hook": "script that runs before anything is installed",
    f"os_migrate_{_SIDES_OR_BOTH}conversion_host_post_content_hook": "script that runs afterwards",
    "os_migrate_conversion_subnet_cidr": "range of the hosts' subnets",
    "os_migrate_conversion_subnet_alloc_start": "its first address",
    "os_migrate_conversion_subnet_alloc_end": "its last address",
    "os_migrate_conversion_router_ip": "its gateway",
    "os_migrate_conversion_keypair_private_path": "the public key beside it may log in",
    "os_migrate_conversion_host_content_install": "false: the image has the agent already",
}  # fmt: skip

IDLE = {
    "os_migrate_clouds_path": "the services have a clouds.yaml of their own",
    f"os_migrate_{_SIDES}filter_current_project": "a migration is about one project; --source-project and "
    "--destination-project say another than the credentials' own",
    f"os_migrate_{_SIDES}filters": "a migration is about one project; -k and -f say which of its resources",
    **dict.fromkeys(
        [f"os_migrate_{name}_filter" for name in ("flavors", "projects", "users", "user")], _NOT_MOVED
    ),
    "os_migrate_validate_files": "files are always checked before anything is sent",
    "os_migrate_workloads_data_copy": "OS Migrate doesn't read it either; `data_copy` in a server's "
    "`_migration_params` counts",
    "os_migrate_workload_cleanup_on_failure": "what failed is always taken back",
    "os_migrate_workload_boot_volume_prefix": "`boot_volume_params` in a server's `_migration_params` names the volume",
    "os_migrate_timeout": "what makes progress is waited for",
    **dict.fromkeys(
        [f"os_migrate_{word}" for word in ("deploy_src_conversion_host", "deploy_dst_conversion_host",
                                           "delete_src_conversion_host", "delete_dst_conversion_host")],
        "-s and -d of `hosts deploy` and `hosts delete` say in which clouds",
    ),
    "os_migrate_link_conversion_hosts": _NO_SSH,
    "os_migrate_reboot_conversion_hosts": "hosts are ready when their agents answer",
    **dict.fromkeys(
        [f"os_migrate_{_SIDES_OR_BOTH}conversion_{name}" for name in ("host_delete_fip", "delete_fip")],
        "`hosts delete` deletes the floating IPs that `hosts deploy` made, and no others",
    ),
    f"os_migrate_{_SIDES_OR_BOTH}conversion_keypair_name": "`hosts deploy --key-name` puts a key pair into hosts",
    **dict.fromkeys(
        [f"os_migrate_conversion_{name}" for name in
         ("host_ssh_user", "host_ssh_key_type", "host_ssh_key_bits", "keypair_generate", "link_keypair_private_path",
          "host_ssh_user_enable_password_access", "host_ssh_user_password")],
        _NO_SSH,
    ),
    "os_migrate_conversion_host_deploy_timeout": "`hosts deploy --timeout` says it",
    **dict.fromkeys(
        [f"os_migrate_conversion_rhsm_{name}" for name in
         ("manage", "retries", "delay", "activationkey", "auto_attach", "consumer_id", "consumer_name",
          "consumer_type", "environment", "force_register", "org_id", "password", "pool", "pool_ids", "release",
          "repositories", "rhsm_baseurl", "rhsm_repo_ca_cert", "server_hostname", "server_insecure",
          "server_proxy_hostname", "server_proxy_password", "server_proxy_port", "server_proxy_user", "syspurpose",
          "username")],
        _RHSM,
    ),
    "os_migrate_conversion_insights_enable": _RHSM,
    "do_yum_update": _RHSM,
    **dict.fromkeys(
        [f"os_migrate_nbdkit_{name}" for name in
         ("port", "protocol", "ssh_user", "readonly", "timeout", "ip_allow", "nova_instances_dir")],
        _NBDKIT,
    ),
    "use_nbdkit_direct": _NBDKIT,
    "nbdkit_disks": _NBDKIT,
    **dict.fromkeys(
        [f"os_migrate_conversion_{name}" for name in
         ("cloud", "validate_certs", "ca_cert", "client_cert", "client_key")],
        _BY_ITSELF,
    ),
    f"os_migrate_{_SIDES}project_id": _BY_ITSELF,
    "prelude_common_minimum_openstacksdk_version": "the services bring their own openstacksdk",
}  # fmt: skip

VARIABLES = tuple(
    [Variable(name, meaning) for name, meaning in READ.items()]
    + [Variable(name, why, read=False) for name, why in IDLE.items()]
)


def spellings(name: str) -> Iterator[str]:
    """Yield the variables that a name of the table stands for."""
    for part, both in ((_SIDES_OR_BOTH, True), (_SIDES, False)):
        if part in name:
            yield from (name.replace(part, f"{side}_") for side in SIDES)
            if both:
                yield name.replace(part, "")
            return
    yield name


KNOWN = {spelling: variable for variable in VARIABLES for spelling in spellings(variable.name)}


def without_effect(variables: Mapping[str, Any]) -> list[str]:
    """A line for each variable that is set and that nothing here reads, with the reason."""
    return [f"{name}: {KNOWN[name].meaning}" for name in variables if name in KNOWN and not KNOWN[name].read]


def unknown(variables: Mapping[str, Any]) -> list[str]:
    """Variables that look like OS Migrate's and are none: most often a typing error."""
    return [str(name) for name in variables if str(name).startswith("os_migrate_") and name not in KNOWN]
