"""NetworkPolicies into kernel rules, as policies, Pods and namespaces change.

All state belongs to the event loop and is changed without awaiting in between: informers' handlers tell the
picture and arrange one `_flush` at the end of the same turn of the loop, which turns what came together into
one transaction. Until the first table stands (`_ready`), the picture only gathers. Three tasks run beside it,
all owned by `run`: the audit compares the kernel's table with ours, rarely or when a transaction was refused;
the flusher makes conntrack forget the flows of Pods that have left; one waits for the first policy.

As long as a cluster has no policy, nothing is asked about its Pods: a node of its own would carry all of them
for nothing. The first policy makes it follow Pods and namespaces, and counts when all of them are known.

A Pod of this node is isolated before it can send or be sent a packet: the kubelet awaits `admitted` between
the Pod's address and its first container. It stays so until the kubelet says that it has `left`, also if its
object, its policies or its namespace go before it does. When this process ends the table stays; the next one
goes on from it. Flows that are established when a policy begins to deny them live on: rules are asked about
the first packet of a flow.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, key_of, labels_of, name_of, namespace_of, revision_of, uid_of
from sampan.api.prometheus import Family
from sampan.api.resources import NAMESPACES, NETWORK_POLICIES, PODS
from sampan.client.client import Client
from sampan.client.informer import Informer
from sampan.client.informers import Informers
from sampan.proxy import audits
from sampan.proxy.contract import NftFault, SocketFactory
from sampan.proxy.policy import drops
from sampan.proxy.policy.contract import PolicyTable
from sampan.proxy.policy.drops import Drop
from sampan.proxy.policy.flows import FlowMemory, KernelFlows
from sampan.proxy.policy.model import PodFacts, pod_of, policy_of
from sampan.proxy.policy.nft import KernelPolicyTable
from sampan.proxy.policy.picture import Picture
from sampan.proxy.table import Element, Table, diff, of_set

log = logging.getLogger(__name__)

ADMIT_TIMEOUT_S = 20.0
CATCH_UP_TIMEOUT_S = 5.0
UNCLAIMED_FOR_S = 60.0
"""How long an earlier process' isolation of an address stands that no Pod has said to be its own."""
_OF_AN_ADDRESS = frozenset(f"{name}{v}" for name in ("in", "eg", "self", "dropin", "dropeg") for v in "46")
_OF_A_CLASS = frozenset(("peers", "protos", "allow", "spans"))


class NotAdmitted(OSError):
    """A Pod's policies are not in the kernel: it must not start yet."""


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """`stand_ins`: what answers at an address as if it were a Pod, cluster DNS on the node's loopback."""

    node_name: str
    stand_ins: tuple[PodFacts, ...] = ()
    node_ips: tuple[str, ...] = ()
    audit_every_s: float = audits.EVERY_S
    unclaimed_for_s: float = UNCLAIMED_FOR_S


def dns_stand_in(ips: tuple[str, ...]) -> PodFacts:
    """Users let Pods ask for names by what they know of other clusters: Pods `k8s-app: kube-dns`."""
    return PodFacts("dns", "kube-system", "kube-dns", {"k8s-app": "kube-dns"}, ips)


class Enforcer:
    """Made like every component; `client` reads policies."""

    def __init__(
        self,
        client: Client,
        informers: Informers,
        sockets: SocketFactory,
        config: PolicyConfig,
        *,
        kernel: PolicyTable | None = None,
        flows: FlowMemory | None = None,
    ) -> None:
        self._client = client
        self._policies = informers.informer(NETWORK_POLICIES)
        self._informers = informers
        self._pods: Informer | None = None
        """None before there was a policy."""
        self._kernel = kernel or KernelPolicyTable(sockets)
        self._flows = flows or KernelFlows(sockets)
        self._freed: asyncio.Queue[tuple[str, ...]] = asyncio.Queue()
        """Addresses whose flows are to be forgotten before anybody else has them."""
        self._config = config
        self._picture = Picture(config.node_ips)
        for stand_in in config.stand_ins:
            self._picture.set_pod(stand_in.uid, stand_in)
        self._here: dict[str, tuple[str, ...]] = {}
        """uid -> addresses of the Pods that the kubelet had admitted and that have not left."""
        self._listings: list[set[str]] = []
        """For each listing of policies under way, the uids of those that went meanwhile."""
        self._arranged = False
        self._wanted = asyncio.Event()
        """There is a policy, or was one."""
        self._complete = asyncio.Event()
        """The picture has everything that policies speak of."""
        self._ready = asyncio.Event()
        self._drifted = asyncio.Event()
        self._in_line = asyncio.Event()
        """The kernel has all that the picture has; the opposite of `_drifted`."""
        self._refusals = 0

    async def run(self) -> None:
        """Keeps the kernel's table until cancelled. The table stays when this process ends."""
        self._policies.subscribe(self._policy_changed)
        try:
            await self._policies.wait_synced()
            if self._wanted.is_set():
                await self._follow()
            else:
                self._complete.set()
            await self._start()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_when_wanted(), name="policies-follow")
                group.create_task(self._forget_flows(), name="policies-flows")
                auditing = audits.now_and_then(self.audit, self._drifted, self._config.audit_every_s)
                group.create_task(auditing, name="policies-audit")
        finally:
            self._ready.clear()
            self._kernel.close()

    async def wait_synced(self) -> None:
        """Returns once the kernel has everything that there was at the start."""
        await self._ready.wait()

    async def admitted(self, pod: Obj, ips: tuple[str, ...]) -> None:
        """Returns when the kernel holds the Pod to its policies and its peers' rules know it.

        Raises NotAdmitted if that is not so in time. For Pods of this node, before their first packet.
        """
        try:
            async with asyncio.timeout(ADMIT_TIMEOUT_S):
                await self._ready.wait()
                await self._freed.join()
                await self._catch_up(namespace_of(pod))
                await self._complete.wait()
                self._here[uid_of(pod)] = ips
                self._tell_pod(self._latest(pod))
                self._flush()
                await self._in_line.wait()
        except TimeoutError as error:
            raise NotAdmitted(
                f"network policies for {', '.join(ips)} are not in the kernel after {ADMIT_TIMEOUT_S:g} s"
            ) from error

    def left(self, uid: str) -> None:
        """Nothing of the Pod runs any more and its addresses are free."""
        ips = self._here.pop(uid, None)
        if ips is not None:
            if self._policies.list():
                self._freed.put_nowait(ips)
            facts = self._picture.pod(uid)
            if facts is not None and self._known(facts.key, uid) is None:
                self._picture.set_pod(uid, None)
                self._arrange()

    async def drops(self) -> list[Drop]:
        """What was dropped on its way to and from this node's isolated Pods. Raises NftFault."""
        dropped, refused = await self._kernel.dropped(), await self._kernel.refused()
        return drops.drops(self._picture.standings, dropped, refused)

    async def families(self) -> list[Family]:
        """The same for /metrics; nothing while the kernel cannot be asked."""
        try:
            return drops.families(await self.drops())
        except NftFault as fault:
            log.warning("no numbers of dropped packets: %s", fault)
            return []

    async def audit(self) -> int:
        """Compares the kernel's table with ours and mends it; how many elements were wrong.

        What changes while the kernel is listed is left out: the listing may show either state of it. If such
        a change was refused, `_drifted` stays set, and the next audit follows at once.
        """
        refusals = self._refusals
        self._picture.elements.touched.clear()
        found = await self._kernel.listing()
        mend = diff(found, self._picture.table).without(self._picture.elements.touched)
        wrong = len({element for element, _ in (*mend.delete, *mend.add)})
        if wrong:
            log.warning("the policies' table differed in %d elements", wrong)
            self._kernel.apply(mend)
        if refusals == self._refusals:
            self._drifted.clear()
            self._in_line.set()
        return wrong

    async def _catch_up(self, namespace: str) -> None:
        """A policy made before the Pod may still be on its way here, by another stream than the Pod came."""
        gone: set[str] = set()
        self._listings.append(gone)
        try:
            async with asyncio.timeout(CATCH_UP_TIMEOUT_S):
                listed = await self._client.list(NETWORK_POLICIES, namespace)
        except (StatusError, OSError) as error:
            log.warning("policies of namespace %s as last heard of: %s", namespace, error)
            return
        finally:
            self._listings = [each for each in self._listings if each is not gone]
        for policy in listed.get("items") or ():
            known = self._policies.get(key_of(policy))
            if uid_of(policy) not in gone and (known is None or revision_of(known) < revision_of(policy)):
                self._learn(policy)

    async def _follow_when_wanted(self) -> None:
        await self._wanted.wait()
        if self._pods is None:
            await self._follow()
            self._flush()

    async def _follow(self) -> None:
        self._pods, namespaces = self._informers.informer(PODS), self._informers.informer(NAMESPACES)
        namespaces.subscribe(self._namespace_changed)
        self._pods.subscribe(self._pod_changed)
        await namespaces.wait_synced()
        await self._pods.wait_synced()
        self._complete.set()

    def _learn(self, policy: Obj) -> None:
        self._picture.set_policy(key_of(policy), policy_of(policy))
        if not self._wanted.is_set():
            self._wanted.set()
            self._complete.clear()

    # -- what informers tell

    def _policy_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._learn(new)
        elif old is not None:
            self._picture.set_policy(key_of(old), None)
            for gone in self._listings:
                gone.add(uid_of(old))
        self._arrange()

    def _namespace_changed(self, old: Obj | None, new: Obj | None) -> None:
        self._picture.set_namespace(name_of(new or old or {}), labels_of(new) if new else None)
        self._arrange()

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._tell_pod(new)
        elif old is not None and uid_of(old) not in self._here:
            self._picture.set_pod(uid_of(old), None)
        self._arrange()

    def _tell_pod(self, pod: Obj) -> None:
        uid = uid_of(pod)
        self._picture.set_pod(uid, pod_of(pod, self._config.node_name, self._here.get(uid, ())))

    def _latest(self, pod: Obj) -> Obj:
        """As the informer has it: labels may have changed since the kubelet took the Pod up."""
        return self._known(key_of(pod), uid_of(pod)) or pod

    def _known(self, key: str, uid: str) -> Obj | None:
        pod = self._pods.get(key) if self._pods else None
        return pod if pod is not None and uid_of(pod) == uid else None

    def _arrange(self) -> None:
        if self._ready.is_set() and not self._arranged:
            self._arranged = True
            asyncio.get_running_loop().call_soon(self._flush)

    # -- the kernel

    def _flush(self) -> None:
        """Everything told in this turn of the loop, as one transaction."""
        self._arranged = False
        if not self._ready.is_set() or not self._complete.is_set():
            return
        try:
            self._kernel.apply(self._picture.take())
        except NftFault as fault:
            log.warning("%s; comparing tables", fault)
            self._refusals += 1
            self._in_line.clear()
            self._drifted.set()

    async def _start(self) -> None:
        """The first table. One that an earlier process left is brought up to date without a gap."""
        found = await self._kernel.open()
        self._picture.take()
        if found is None:
            await self._kernel.replace(self._picture.table)
        else:
            change = diff(found, self._picture.table)
            unclaimed = _unclaimed(found, self._picture) if self._wanted.is_set() else set()
            if unclaimed:
                # The process before may have died before the API knew whose they are.
                asyncio.get_running_loop().call_later(self._config.unclaimed_for_s, self._drifted.set)
            self._kernel.apply(change.without(unclaimed))
        self._in_line.set()
        self._ready.set()
        self._flush()

    async def _forget_flows(self) -> None:
        while True:
            ips = await self._freed.get()
            try:
                await self._flows.forget(ips)
            finally:
                self._freed.task_done()


def _unclaimed(found: Table, picture: Picture) -> set[Element]:
    """What isolates addresses that no Pod says to be its own, as `found` has it, with their classes."""
    lost = {
        element: value
        for element, value in of_set(found, _OF_AN_ADDRESS).items()
        if not picture.is_claimed(str(element.key[0]))
    }
    classes = {value[0] for value in lost.values() if value}
    rules = {element for element in of_set(found, _OF_A_CLASS) if element.key[0] in classes}
    return {*lost, *rules} - picture.table.keys()
