"""Names that differ at the destination, from the command line to a real cloud."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.clouds


@pytest.fixture
def internet(sandbox, destination):
    """Another external network at the destination."""
    network = sandbox.connect("dst-admin").network
    made = network.create_network(name=f"internet-{destination.name}", is_router_external=True)
    subnet = network.create_subnet(network_id=made.id, ip_version=4, cidr="198.18.77.0/24", enable_dhcp=False)
    yield made
    for router in destination.connect().network.routers():
        network.delete_router(router)
    network.delete_subnet(subnet)
    network.delete_network(made)


def test_a_gateway_leads_where_the_destination_has_its_way_out(source, destination, internet, cli):
    network = source.connect().network
    public = network.find_network("public", ignore_missing=False)
    network.create_router(name="edge", external_gateway_info={"network_id": public.id})
    sides = ("-s", source.entry, "-d", destination.entry, "-k", "router", "--map", f"network:public={internet.name}")
    assert "create    router edge" in cli("plan", *sides)
    cli("start", "last")
    cli("watch", "last")
    (router,) = destination.connect().network.routers()
    assert router.external_gateway_info["network_id"] == internet.id
    cli("migrate", "--yes", *sides)
    again = json.loads(cli("show", "-o", "json"))
    assert [s["outcome"] for s in again["steps"] if s["kind"] == "router"] == ["unchanged"]


def test_a_name_that_is_not_there_is_told_as_it_is_mapped(source, destination, cli):
    network = source.connect().network
    public = network.find_network("public", ignore_missing=False)
    network.create_router(name="edge", external_gateway_info={"network_id": public.id})
    sides = ("-s", source.entry, "-d", destination.entry, "-k", "router")
    assert "there is no network named 'mars' here" in cli("plan", *sides, "--map", "network:public=mars", code=1)
    assert "'net' can't be mapped" in cli("plan", *sides, "--map", "net:public=mars", code=2)
    assert "expected KIND:OLD=NEW" in cli("migrate", *sides, "--map", "public=mars", code=2)
