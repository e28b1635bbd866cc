"""Connections of the operator's own to clouds, and openstacksdk's errors as sentences that say what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stackferry.errors import Error

from ..local.stack import home

TIMEOUT = 60.0  # seconds of one call
PROJECT = ("project_name", "project_id", "tenant_name", "tenant_id")


class CloudError(Error):
    """A cloud refuses."""


class CloudUnavailable(CloudError):
    """A cloud can't be reached, or takes too long."""


def connect(cloud: str, project: str | None = None, entry: dict[str, Any] | None = None) -> Any:
    """Log in, by clouds.yaml or by *entry*, what clouds.yaml would say; raise CloudError with what to do."""
    try:
        import openstack
    except ImportError:
        raise Error("openstacksdk is not installed: pip install 'stackferry-cli[hosts]'") from None
    with explained(cloud):
        config = openstack.config.OpenStackConfig(**_files())
        if entry is not None:
            config.cloud_config["clouds"][cloud] = entry
        if project and (known := config.cloud_config["clouds"].get(cloud)):
            known["auth"] = {k: v for k, v in known.get("auth", {}).items() if k not in PROJECT}
            known["auth"]["project_name"] = project
        region = config.get_one(cloud=cloud, api_timeout=TIMEOUT)
        connection = openstack.connection.Connection(config=region, app_name="stackferry")
        if connection.current_project_id is None:
            raise CloudError(f"the credentials of cloud {cloud!r} name no project; add project_name to clouds.yaml")
    return connection


def _files() -> dict[str, Any]:
    """The file that `stackferry up --vars` has written counts as it does for the services."""
    ours = home() / "clouds.yaml"
    return {"config_files": [str(ours)]} if ours.exists() and "OS_CLIENT_CONFIG_FILE" not in os.environ else {}


@contextmanager
def explained(cloud: str) -> Iterator[None]:
    """Turn what openstacksdk raises into CloudError."""
    from keystoneauth1 import exceptions as keystone
    from openstack import exceptions as sdk

    try:
        yield
    except (keystone.Unauthorized, keystone.NotFound) as error:
        raise CloudError(f"cloud {cloud!r} refuses the credentials: {first_line(error)}; check clouds.yaml") from None
    except (sdk.ConfigException, keystone.AuthPluginException, keystone.AuthorizationFailure) as error:
        text = f"cloud {cloud!r} can't be used: {first_line(error)}; see clouds.yaml (OS_CLIENT_CONFIG_FILE)"
        raise CloudError(text) from None
    except sdk.HttpException as error:
        kind = CloudUnavailable if (error.status_code or 0) >= 500 else CloudError
        raise kind(f"cloud {cloud!r}: {first_line(error)}") from None
    except (keystone.ClientException, sdk.SDKException, OSError) as error:
        text = f"cloud {cloud!r} does not answer: {first_line(error)}; check auth_url and the network"
        raise CloudUnavailable(text) from None


def first_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    details = getattr(error, "details", None)
    text = f"{error}" if not details or str(details) in str(error) else f"{error}: {details}"
    return (text.strip().splitlines() or [type(error).__name__])[0][:500]
