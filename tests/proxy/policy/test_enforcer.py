"""What reaches the kernel, and when: the enforcer over an API and a kernel in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

import pytest

from harness import policies
from harness.lab import NODE
from harness.policies import labelled, policy
from sampan.api.objects import Obj
from sampan.api.resources import NAMESPACES, NETWORK_POLICIES, PODS
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.proxy.contract import NftFault
from sampan.proxy.policy import enforcer as module
from sampan.proxy.policy.contract import Refused
from sampan.proxy.policy.enforcer import Enforcer, NotAdmitted, PolicyConfig
from sampan.proxy.policy.fake import FakePolicyTable
from sampan.proxy.policy.wire import Count
from sampan.proxy.table import Change, Element, Table

pytestmark = pytest.mark.virtual_time

WEB = labelled(app="web")
IP = "10.0.0.2"


class World:
    """`api` and `kernel` outlive the enforcer: `running` twice is a restart."""

    def __init__(self, *objects: Obj) -> None:
        self.api = FakeTransport()
        self.api.add(policies.namespace("default"), *objects)
        self.kernel = FakePolicyTable()
        self.enforcer: Enforcer
        self.forgotten: list[str] = []
        self.forgetting = asyncio.Event()
        self.forgetting.set()

    @contextlib.asynccontextmanager
    async def running(self, *, synced: bool = True, **settings: float) -> AsyncIterator[Enforcer]:
        client = Client(self.api)
        informers = Informers(client)
        config = PolicyConfig(NODE, **settings)  # type: ignore[arg-type]
        self.enforcer = Enforcer(
            client,
            informers,
            None,  # type: ignore[arg-type]
            config,
            kernel=self.kernel,
            flows=self,
        )
        tasks = [asyncio.create_task(informers.run()), asyncio.create_task(self.enforcer.run())]
        try:
            if synced:
                await asyncio.wait_for(self.enforcer.wait_synced(), 30)
            yield self.enforcer
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def forget(self, addresses: Iterable[str]) -> None:
        await self.forgetting.wait()
        self.forgotten += addresses

    async def until(self, *names: str, there: bool = True) -> None:
        """The kernel has elements in all these sets, or in none of them."""
        for _ in range(5000):
            if all(bool(self.of(name)) == there for name in names):
                return
            await asyncio.sleep(0.002)
        raise AssertionError(f"never so: {self.kernel.table}")

    def of(self, name: str) -> Table:
        return {element: value for element, value in (self.kernel.table or {}).items() if element.set == name}


def web(*ips: str, **more: str) -> Obj:
    return policies.pod("web", "default", *(ips or (IP,)), app="web", **more)


async def test_what_comes_in_one_turn_is_one_transaction() -> None:
    world = World()
    async with world.running():
        world.api.add(web(), policy("a", selector=WEB), policy("b", selector=WEB))
        await world.until("in4", "dropin4")
        assert len(world.kernel.changes) <= 3, "one for each informer at most"
        before = len(world.kernel.changes)
        world.api.add(web(), policies.pod("other", "default", "10.0.0.3"))
        await asyncio.sleep(0.05)
        assert len(world.kernel.changes) == before, "nothing that rules speak of has changed"


async def test_policies_and_pods_that_go_take_their_elements_with_them() -> None:
    world = World(web(), policy("a", selector=WEB, ingress=[{"from": [{"podSelector": WEB}]}]))
    async with world.running():
        await world.until("in4", "id4", "peers")
        world.api.remove(NETWORK_POLICIES, "a", "default")
        await world.until("in4", "id4", "peers", there=False)
        assert world.kernel.table == {}
        world.api.add(policy("a", selector=WEB))
        await world.until("in4")
        world.api.remove(PODS, "web", "default")
        await world.until("in4", there=False)
        assert world.kernel.table == {}


async def test_pods_are_followed_from_the_first_policy_on() -> None:
    world = World(web(), policies.pod("friend", "default", "10.0.0.3", app="friend"))
    world.api = FakeTransport(*world.api.objects(PODS), policies.namespace("default"), reads=True)
    async with world.running() as enforcer:
        await enforcer.admitted(web(), (IP,))
        assert not [action for action in world.api.actions if action.plural in ("pods", "namespaces")]
        rules = [{"from": [{"podSelector": labelled(app="friend")}]}]
        world.api.add(policy("a", selector=WEB, ingress=rules))
        await world.until("in4", "id4", "peers")
        assert len(world.kernel.changes) == 1, "nobody is shut out before his friends are known"


async def test_admitted_returns_when_the_kernel_has_it() -> None:
    world = World(policy("a", selector=WEB))
    unborn = policies.pod("web", "default", phase="Pending", app="web")
    async with world.running() as enforcer:
        world.api.add(unborn)
        await enforcer.admitted(unborn, (IP, "fd00::2"))
        assert world.of("in4") and world.of("in6")


async def test_admitted_waits_for_the_first_table_and_gives_up_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ADMIT_TIMEOUT_S", 0.05)
    world = World()
    held = asyncio.Event()
    ready = world.kernel.open

    async def late() -> Table | None:
        await held.wait()
        return await ready()

    monkeypatch.setattr(world.kernel, "open", late)
    async with world.running(synced=False) as enforcer:
        told = "network policies for 10.0.0.2 are not in the kernel after 0.05 s"
        with pytest.raises(NotAdmitted, match=told):
            await enforcer.admitted(web(), (IP,))
        held.set()
        await enforcer.wait_synced()
        await enforcer.admitted(web(), (IP,))


async def test_a_refused_transaction_lets_nobody_in_until_the_tables_agree(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(policy("a", selector=WEB))
    async with world.running() as enforcer:
        working = world.kernel.apply
        refused = asyncio.Event()

        def refuse(change: Change) -> None:
            refused.set()
            raise NftFault("no")

        monkeypatch.setattr(world.kernel, "apply", refuse)
        admitted = asyncio.create_task(enforcer.admitted(web(), (IP,)))
        await refused.wait()
        await asyncio.sleep(0.02)
        assert not admitted.done()
        monkeypatch.setattr(world.kernel, "apply", working)
        await asyncio.wait_for(admitted, 30)
        assert world.of("in4")


async def test_a_pod_stays_isolated_until_it_has_left_whatever_goes_before() -> None:
    world = World(policy("a", selector=WEB))
    async with world.running() as enforcer:
        world.api.add(web())
        await enforcer.admitted(web(), (IP,))
        world.api.remove(PODS, "web", "default")
        await asyncio.sleep(0.05)
        assert world.of("in4"), "deleted by force, its processes may still run"
        enforcer.left("default-web")
        await world.until("in4", there=False)


async def test_flows_of_who_has_left_are_forgotten_before_the_next_is_admitted() -> None:
    world = World(policy("a", selector=WEB), web())
    async with world.running() as enforcer:
        await enforcer.admitted(web(), (IP, "fd00::2"))
        world.forgetting.clear()
        enforcer.left("default-web")
        following = policies.pod("next", "default", phase="Pending", app="web")
        admitted = asyncio.create_task(enforcer.admitted(following, (IP,)))
        await asyncio.sleep(0.02)
        assert not admitted.done()
        world.forgetting.set()
        await asyncio.wait_for(admitted, 30)
        assert world.forgotten == [IP, "fd00::2"]


async def test_a_policy_that_the_informer_has_not_heard_of_yet_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(web())
    async with world.running() as enforcer:
        late = policy("late", selector=WEB)
        late["metadata"]["resourceVersion"] = "100"

        async def listed(*_: object) -> Obj:
            return {"items": [late]}

        monkeypatch.setattr(enforcer._client, "list", listed)
        await enforcer.admitted(web(), (IP,))
        assert world.of("in4")


async def test_a_policy_that_went_while_policies_were_listed_does_not_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(policy("a", selector=WEB), web())
    async with world.running() as enforcer:
        await world.until("in4")
        listing = enforcer._client.list

        async def listed(*asked: object) -> Obj:
            found = await listing(*asked)  # type: ignore[arg-type]
            world.api.remove(NETWORK_POLICIES, "a", "default")
            await world.until("in4", there=False)
            return found

        monkeypatch.setattr(enforcer._client, "list", listed)
        await enforcer.admitted(web(), (IP,))
        assert not world.of("in4")


async def test_an_api_that_does_not_answer_stops_no_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(policy("a", selector=WEB), web())
    async with world.running() as enforcer:

        async def listed(*_: object) -> Obj:
            raise ConnectionRefusedError

        monkeypatch.setattr(enforcer._client, "list", listed)
        await enforcer.admitted(web(), (IP,))
        assert world.of("in4"), "as last heard of"


async def test_who_has_left_but_is_still_in_the_api_is_known_by_what_it_says() -> None:
    world = World(policy("a", selector=WEB), web())
    async with world.running() as enforcer:
        await enforcer.admitted(web(), (IP,))
        enforcer.left("default-web")
        enforcer.left("default-web")
        world.api.add(web(phase="Succeeded"))
        await world.until("in4", there=False)


async def test_a_namespace_that_goes_first_does_not_open_its_pods() -> None:
    world = World(policy("a", selector=WEB, ingress=[{"from": [{"podSelector": {}}]}]), web())
    async with world.running():
        await world.until("in4", "peers")
        world.api.remove(NAMESPACES, "default")
        await asyncio.sleep(0.05)
        assert world.of("in4") and world.of("peers")


async def test_a_restart_changes_nothing_and_takes_away_what_has_gone() -> None:
    world = World(policy("a", selector=WEB, ingress=[{"from": [{"podSelector": WEB}]}]), web())
    async with world.running():
        await world.until("in4", "peers")
    before, written = dict(world.kernel.table or {}), len(world.kernel.changes)
    async with world.running():
        assert (world.kernel.table, len(world.kernel.changes)) == (before, written)
        assert world.kernel.replaced == 1
    world.api.remove(NETWORK_POLICIES, "a", "default")
    async with world.running():
        assert world.kernel.table == {}


async def test_an_address_that_nobody_claims_stays_isolated_for_a_while() -> None:
    """The process before died between the Pod's first packet and the API's hearing of its address."""
    world = World(policy("a", selector=WEB, ingress=[{"from": [{"podSelector": {}}]}]))
    unborn = policies.pod("web", "default", phase="Pending", app="web")
    world.api.add(unborn)
    async with world.running() as enforcer:
        await enforcer.admitted(unborn, (IP,))
    async with world.running(unclaimed_for_s=0.2) as enforcer:
        assert Element("in4", (IP,)) in world.of("in4") and world.of("peers")
        await enforcer.admitted(unborn, (IP,))
        await asyncio.sleep(0.4)
        assert world.of("in4")
    world.api.remove(PODS, "web", "default")
    async with world.running(unclaimed_for_s=0.2):
        assert world.of("in4")
        await world.until("in4", "peers", there=False)


async def test_audit_mends_what_others_changed() -> None:
    world = World(policy("a", selector=WEB), web())
    async with world.running() as enforcer:
        await world.until("in4")
        assert world.kernel.table is not None
        del world.kernel.table[Element("in4", (IP,))]
        world.kernel.table[Element("eg4", ("10.0.0.9",))] = (5,)
        assert await enforcer.audit() == 2
        assert world.of("in4") and not world.of("eg4")
        assert await enforcer.audit() == 0


async def test_drops_name_pod_policies_and_peers() -> None:
    world = World(policy("a", selector=WEB), policy("b", selector=WEB), web())
    async with world.running() as enforcer:
        await world.until("in4")
        world.kernel.counts = {("ingress", IP): Count(3, 180), ("egress", "10.0.0.9"): Count(1, 1)}
        about = Refused("ingress", "10.0.0.7", IP, "tcp", 80)
        world.kernel.lost = {about: Count(3, 180), about._replace(destination="10.0.0.8"): Count(1, 60)}
        (drop,) = await enforcer.drops()
        assert (drop.pod, drop.policies) == ("default/web", ("default/a", "default/b"))
        assert (drop.direction, drop.packets, drop.bytes) == ("ingress", 3, 180)
        assert drop.refused == ((about, 3),)
        packets, size = await enforcer.families()
        assert [sample.labels["policy"] for sample in packets.samples] == ["a", "b"]
        assert [sample.value for sample in size.samples] == [180, 180]
