"""Requests on their way to a certificate, over an API server in memory."""

import time
from functools import partial

import pytest

from harness import certificates
from harness.world import World, running
from sampan.api import clock
from sampan.api.resources import CERTIFICATE_REQUESTS as CSRS
from sampan.api.resources import NODES
from sampan.apiserver import pki
from sampan.controllers.certificates.controller import CertificatesController
from sampan.controllers.certificates.rules import CLIENT, KUBELET_CLIENT, KUBELET_SERVING

TOKEN = {
    "username": "system:bootstrap:abcdef",
    "groups": ["system:bootstrappers", "system:bootstrappers:sampan:default-node-token"],
}
NODE = {"username": "system:node:n1", "groups": ["system:nodes"]}
USAGES = ["client auth", "digital signature"]


@pytest.fixture(scope="module")
def making(tmp_path_factory):
    keys = pki.load_or_create(tmp_path_factory.mktemp("pki"))
    return partial(CertificatesController, ca=keys.ca, ca_key=keys.key("ca"))


def asked(name: str, signer: str, body: bytes, usages, **spec):
    made = certificates.request(name, body, signer, usages, **spec)
    made["metadata"]["creationTimestamp"] = clock.now()
    return made


def node_client(name: str = "a", **spec):
    body = certificates.pem("system:node:n1", ["system:nodes"])
    return asked(name, KUBELET_CLIENT, body, USAGES, **spec)


def issued(world: World, name: str = "a") -> bool:
    found = world.fake.get(CSRS, name) or {}
    return bool((found.get("status") or {}).get("certificate"))


def kinds(world: World, name: str = "a") -> list[str]:
    found = world.fake.get(CSRS, name) or {}
    return [each["type"] for each in (found.get("status") or {}).get("conditions") or ()]


async def test_a_machine_with_a_token_becomes_a_node(making) -> None:
    async with running(World(node_client(**TOKEN)), making) as world:
        await world.until(lambda: issued(world))
        assert kinds(world) == ["Approved"]


async def test_others_wait_for_somebody_who_decides(making) -> None:
    stranger = asked("b", CLIENT, certificates.pem("eve"), USAGES, username="eve", groups=[])
    async with running(World(stranger, node_client(**TOKEN)), making) as world:
        await world.until(lambda: issued(world))
        assert kinds(world, "b") == []
        approved = {"conditions": [{"type": "Approved", "status": "True", "reason": "r", "message": "m"}]}
        await world.client.patch(CSRS, "b", {"status": approved}, subresource="status")
        await world.until(lambda: issued(world, "b"))


async def test_what_a_signer_does_not_sign_fails(making) -> None:
    wrong = node_client(**TOKEN)
    wrong["spec"]["usages"] = ["server auth"]
    wrong["status"] = {"conditions": [{"type": "Approved", "status": "True"}]}
    async with running(World(wrong), making) as world:
        await world.until(lambda: "Failed" in kinds(world))
        assert not issued(world)


async def test_a_serving_certificate_waits_until_the_node_has_told_its_address(making) -> None:
    body = certificates.pem("system:node:n1", ["system:nodes"], ["n1"], ["10.0.0.1"])
    usages = ["server auth", "digital signature"]
    request = asked("a", KUBELET_SERVING, body, usages, **NODE)
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
    async with running(World(request, node, node_client("b", **TOKEN)), making) as world:
        await world.until(lambda: issued(world, "b"))
        assert kinds(world) == []
        status = {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}
        await world.client.patch(NODES, "n1", {"status": status}, subresource="status")
        await world.until(lambda: issued(world))


async def test_what_is_over_goes(making) -> None:
    old = node_client(**TOKEN)
    stamp = clock.format_time(time.time() - 4000)
    old["status"] = {"conditions": [{"type": "Denied", "status": "True", "lastUpdateTime": stamp}]}
    async with running(World(old), making) as world:
        await world.until(lambda: world.fake.get(CSRS, "a") is None)
