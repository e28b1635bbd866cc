"""Plain REST calls, for what is described in the words of the APIs rather than the SDK's."""

from typing import Any

from keystoneauth1.adapter import Adapter
from openstack.exceptions import raise_from_response


def call(service: Adapter, method: str, path: str, body: Any = None, **options: Any) -> Any:
    """Do a request; the answer's JSON, or None if it has none."""
    response = service.request(path, method, json=body, raise_exc=False, **options)
    raise_from_response(response)
    return response.json() if response.content else None


def create(service: Adapter, collection: str, attributes: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Create one resource of a service that wraps it in its singular name, as neutron and nova do."""
    singular = collection.removeprefix("os-").replace("-", "_").removesuffix("s")
    return call(service, "POST", f"/{collection}", {singular: attributes}, **options)[singular]
