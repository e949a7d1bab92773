"""Whatever is asked for, in whatever order and with whatever failing in between: an address or a node port
has one owner, who is a Service that says so, and what nobody has can be had.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.request import Request, UserInfo
from sampan.api.resources import IP_ADDRESSES, SERVICE_CIDRS, SERVICES
from sampan.apiserver import repair
from sampan.apiserver.registry import nodeports
from sampan.apiserver.registry.clusterips import addresses_of
from sampan.apiserver.server import ApiServer, ServerConfig
from sampan.store.contract import Op, Revisions, StoreFull, TxnConflict
from sampan.store.memory import MemoryStore

USER = UserInfo("tester", ("system:authenticated",))
NAMES = [f"s{number}" for number in range(4)]
# Small ranges, so that everything soon is asked for twice and runs out.
CIDRS = ("10.96.0.0/29", "fd00:96::/125")
PORTS = (30000, 30005)
ADDRESSES4 = [f"10.96.0.{n}" for n in range(8)] + ["10.97.0.1"]
ADDRESSES6 = [f"fd00:96::{n}" for n in range(8)]


class FailingStore(MemoryStore):
    """Fails the next `failures` transactions: half of them because the disk is full, half by a conflict."""

    failures = 0

    async def txn(self, ops: Sequence[Op]) -> Revisions:
        if self.failures:
            self.failures -= 1
            if self.failures % 2:
                raise StoreFull("no room")
            raise TxnConflict(ops[0].key, None)
        return await super().txn(ops)


def specs() -> st.SearchStrategy[Obj]:
    address4, address6 = st.sampled_from(ADDRESSES4), st.sampled_from(ADDRESSES6)
    addresses = st.one_of(
        st.just([]),
        st.tuples(address4).map(list),
        st.tuples(address6).map(list),
        st.tuples(address4, address6).map(list),
        st.just(["None"]),
    )
    port = st.fixed_dictionaries(
        {"port": st.integers(80, 82), "protocol": st.sampled_from(["TCP", "UDP"])},
        optional={"nodePort": st.integers(PORTS[0] - 1, PORTS[1])},
    )

    def build(kind, policy, chosen, ports, local, health, allocate) -> Obj:
        spec: Obj = {"type": kind, "selector": {"a": "b"}}
        spec["ports"] = [{"name": f"p{index}", **each} for index, each in enumerate(ports)]
        if policy:
            spec["ipFamilyPolicy"] = policy
        if chosen:
            spec |= {"clusterIP": chosen[0], "clusterIPs": chosen}
        if kind == "ExternalName":
            spec["externalName"] = "example.com"
        if kind == "LoadBalancer":
            spec["allocateLoadBalancerNodePorts"] = allocate
            if local:
                spec["externalTrafficPolicy"] = "Local"
                if health:
                    spec["healthCheckNodePort"] = health
        return spec

    return st.builds(
        build,
        st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]),
        st.sampled_from(["", "SingleStack", "PreferDualStack", "RequireDualStack"]),
        addresses,
        st.lists(port, min_size=1, max_size=2),
        st.booleans(),
        st.sampled_from([0, 0, *range(PORTS[0], PORTS[1] + 1)]),
        st.booleans(),
    )


names = st.sampled_from(NAMES)
STEPS = st.one_of(
    st.tuples(st.just("create"), names, specs(), st.booleans()),
    st.tuples(st.just("update"), names, specs(), st.booleans()),
    st.tuples(st.just("policy"), names, st.sampled_from(["SingleStack", "RequireDualStack"])),
    st.tuples(st.just("delete"), names),
    st.tuples(st.just("object"), st.sampled_from(ADDRESSES4 + ADDRESSES6)),
    st.tuples(st.just("free object"), st.sampled_from(ADDRESSES4 + ADDRESSES6)),
    st.tuples(st.just("widen")),
    st.tuples(st.just("narrow")),
    st.tuples(st.just("fail"), st.integers(1, 3)),
    st.tuples(st.just("restart")),
)


def request(step: tuple[Any, ...]) -> Request:
    match step:
        case ("create", name, spec, dry):
            body = {"metadata": {"name": name}, "spec": spec}
            return Request("create", SERVICES, "default", "", "", {"dryRun": "All"} if dry else {}, body)
        case ("update", name, spec, dry):
            body = {"metadata": {"name": name}, "spec": spec}
            return Request("update", SERVICES, "default", name, "", {"dryRun": "All"} if dry else {}, body)
        case ("policy", name, policy):
            body = {"spec": {"ipFamilyPolicy": policy}}
            return Request("patch", SERVICES, "default", name, "", {}, body, "application/merge-patch+json")
        case ("delete", name):
            return Request("delete", SERVICES, "default", name)
        case ("object", name):
            parent = {"group": "example.com", "resource": "things", "name": "t"}
            body = {"metadata": {"name": name}, "spec": {"parentRef": parent}}
            return Request("create", IP_ADDRESSES, body=body)
        case ("free object", name):
            return Request("delete", IP_ADDRESSES, name=name)
        case ("widen",):
            body = {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.97.0.0/30"]}}
            return Request("create", SERVICE_CIDRS, body=body)
        case ("narrow",):
            return Request("delete", SERVICE_CIDRS, name="more")
    raise AssertionError(step)


async def listed(server: ApiServer, resource) -> list[Obj]:
    return (await server.transport(USER).call(Request("list", resource)))["items"]


async def check(server: ApiServer) -> None:
    """The invariants; they hold whenever nothing is on its way."""
    services = await listed(server, SERVICES)
    addresses = Counter(address for service in services for address in addresses_of(service))
    ports = Counter(port for service in services for port in nodeports.held_by(service))
    assert not [address for address, owners in addresses.items() if owners > 1]
    assert not [port for port, owners in ports.items() if owners > 1]
    hooks = server.pipeline.hooks(SERVICES)
    owners = {service["metadata"]["uid"]: service for service in services}
    assert {*hooks.addresses.held()} == {*addresses}
    assert {*hooks.ports.pool} == {*ports}
    for address in addresses:
        assert address in set(addresses_of(owners[hooks.addresses.holder(address)]))
    for service in services:
        spec = service["spec"]
        found = list(addresses_of(service))
        families = ["IPv6" if ":" in address else "IPv4" for address in found]
        if found:
            assert families == spec["ipFamilies"] and spec["clusterIP"] == found[0]


async def settled(server: ApiServer) -> None:
    """Once the repair has had its say, each address has its object, and no Service has another's."""
    async with asyncio.timeout(30):
        while True:
            services, objects = await listed(server, SERVICES), await listed(server, IP_ADDRESSES)
            wanted = {
                address: service["metadata"]["name"]
                for service in services
                for address in addresses_of(service)
            }
            given = {
                obj["metadata"]["name"]: obj["spec"]["parentRef"]["name"]
                for obj in objects
                if obj["spec"]["parentRef"]["resource"] == "services"
            }
            if wanted == given:
                return
            await asyncio.sleep(0.01)


async def play(keys: Path, turns: list[list[tuple[Any, ...]]]) -> None:
    """Each turn's steps are asked for at the same moment."""
    store = FailingStore()
    config = ServerConfig(pki_dir=keys, service_cidrs=CIDRS, node_port_range=PORTS)
    server = ApiServer(config, store, lambda name: None)
    await server.start()
    try:
        for turn in turns:
            asked = []
            for step in turn:
                if step[0] == "fail":
                    store.failures = step[1]
                elif step[0] != "restart":
                    asked.append(server.transport(USER).call(request(step)))
            for outcome in await asyncio.gather(*asked, return_exceptions=True):
                assert not isinstance(outcome, BaseException) or isinstance(outcome, StatusError), outcome
            store.failures = 0
            await check(server)
            if ("restart",) in turn:
                await server.stop()
                server = ApiServer(config, store, lambda name: None)
                await server.start()
                await check(server)
        await settled(server)
        await check(server)
    finally:
        await server.stop()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(turns=st.lists(st.lists(STEPS, min_size=1, max_size=5), min_size=1, max_size=10))
def test_nothing_ever_has_two_owners_nor_is_lost(keys: Path, turns: list[list[tuple[Any, ...]]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repair, "RETRY_S", 0.05)
        # An object that the repair makes while its Service goes is taken away again, after a while.
        patch.setattr(repair, "GRACE_S", 0.0)
        asyncio.run(play(keys, turns))
