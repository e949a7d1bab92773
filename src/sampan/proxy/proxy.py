"""Services into kernel rules, as they change.

All state belongs to the event loop and is changed without awaiting in between: an informer's handler notes
the Service, or that host ports moved (`_dirty`), and arranges one `_flush` at the end of the same turn of the
loop; `_flush` turns what came together into one transaction. Until the first table stands (`_ready`), notes
only gather. Four tasks run beside it, all owned by `run`: one sends conntrack requests one after another, one
compares the kernel's table with ours (rarely, or when a transaction was refused), one opens and closes ports
where the proxy answers itself (`reports`), one guards the ranges of new ServiceCIDRs (`guard`).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

from sampan.api.objects import Obj, annotations_of, key_of, labels_of, namespace_of, uid_of
from sampan.api.resources import ENDPOINT_SLICES, NODES, PODS, SERVICE_CIDRS, SERVICES
from sampan.api.validation.pod import MIRROR
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.proxy import audits, hostports
from sampan.proxy.config import ProxyConfig as ProxyConfig
from sampan.proxy.conntrack import KernelConntrack
from sampan.proxy.contract import Conntrack, Nft, NftFault, NftLoader, SocketFactory
from sampan.proxy.drain import Drain
from sampan.proxy.frontends import Front, has_external_addresses
from sampan.proxy.graceperiod import GracePeriods
from sampan.proxy.guard import Guard
from sampan.proxy.keys import Keys
from sampan.proxy.ledger import Ledger, Step
from sampan.proxy.nft import KernelNft
from sampan.proxy.reports import Reports
from sampan.proxy.rules import (
    EMPTY,
    NOWHERE,
    SERVICE_NAME,
    Flows,
    Fragment,
    NodeFacts,
    flows_of,
    fragment,
    fronts_of,
    seating,
    stale,
)
from sampan.proxy.ruleset import fixed_elements
from sampan.proxy.table import MADE_ONCE, Change, diff, of_set

log = logging.getLogger(__name__)

_SERVICES_PER_TURN = 200

ZONE = "topology.kubernetes.io/zone"
_INDEX = "service"
_HOST_PORTS = "host ports"
"""Stands for all of them where other keys are Services', and is the index of Pods that ask for some."""


class Proxy:
    """Made like every component; `client` writes events, the informers bring everything else."""

    def __init__(
        self,
        client: Client,
        informers: Informers,
        sockets: SocketFactory,
        nft_loader: NftLoader,
        config: ProxyConfig,
        *,
        nft: Nft | None = None,
        conntrack: Conntrack | None = None,
    ) -> None:
        self._services = informers.informer(SERVICES)
        self._slices = informers.informer(ENDPOINT_SLICES)
        self._pods = informers.informer(PODS, field_selector=f"spec.nodeName={config.node_name}")
        self._nft = nft or KernelNft(sockets, nft_loader, config.families)
        self._conntrack = conntrack or KernelConntrack(
            sockets, [family.version for family in config.families]
        )
        self._config = config
        self._nodes = informers.informer(NODES, field_selector=f"metadata.name={config.node_name}")
        self._guard = Guard(
            informers.informer(SERVICE_CIDRS), config.service_cidrs, self._nft.guard, self._ranges_changed
        )
        self._events = EventRecorder(client, "kube-proxy", config.node_name)
        self._facts = NodeFacts(
            config.node_name,
            config.pod_cidrs,
            config.own_ips,
            tuple(family.version for family in config.families),
            config.node_ips,
            config.service_cidrs,
        )
        self._keys = Keys()
        self._ledger = Ledger(fixed_elements())
        self._found = NOWHERE
        """Where endpoints stand in an earlier process' table, until our own first one stands."""
        self._leaving: set[str] = set()
        """Pods whose end has begun, whether or not the API says so: their host ports lead nowhere."""
        self._dirty: dict[str, None] = {}
        self._arranged = False
        self._ready = False
        self._synced = asyncio.Event()
        self._drifted = asyncio.Event()
        self._refusals = 0
        self._drain = Drain(self._leads_to, self._flows_forgotten, GracePeriods().wait)
        self._reports = Reports(
            config, sockets, self._nodes.list, lambda: self._ledger.table, self._port_refused
        )
        self._stale: asyncio.Queue[Step | asyncio.Event] = asyncio.Queue()
        """Flows to forget. An event is set when all that was queued before it has been."""

    async def run(self) -> None:
        """Keeps the kernel's table until cancelled. The table stays when this process ends."""
        self._slices.add_index(_INDEX, _services_of)
        self._services.subscribe(self._service_changed)
        self._slices.subscribe(self._slice_changed)
        self._pods.add_index(_HOST_PORTS, _asks_for_host_ports)
        self._pods.subscribe(self._pod_changed)
        self._nodes.subscribe(self._node_changed)
        self._guard.watch()
        try:
            await self._conntrack.open()
            await self._services.wait_synced()
            await self._slices.wait_synced()
            await self._pods.wait_synced()
            await self._nodes.wait_synced()
            await self._start()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forget_flows(), name="proxy-conntrack")
                auditing = audits.now_and_then(self.audit, self._drifted, self._config.audit_every_s)
                group.create_task(auditing, name="proxy-audit")
                group.create_task(self._reports.run(), name="proxy-reports")
                group.create_task(self._guard.run(), name="proxy-guard")
        finally:
            self._ready = False
            self._nft.close()
            self._conntrack.close()

    async def wait_synced(self) -> None:
        """Returns once the kernel's table has every Service and host port that there was at the start."""
        await self._synced.wait()

    async def drained(self, pod: Obj) -> None:
        """Returns when no rule sends new connections to the Pod because it is ready; 2 s at most.

        For a Pod that ends: its host ports are taken away here, those of Services when its endpoints go.
        """
        known = self._pods.get(key_of(pod))
        if known is not None and _identity(known) == _identity(pod) and hostports.has_host_ports(known):
            self._leaving.add(_identity(pod))
            self._note(_HOST_PORTS)
        await self._drain.wait(pod)

    async def audit(self) -> int:
        """Compares the kernel's table with ours and mends it; how many elements were wrong.

        What changes while the kernel is listed is left out: the listing may show either state of it. If such
        a change was refused, `_drifted` stays set, and the next audit follows at once.
        """
        refusals = self._refusals
        with self._ledger.touched() as touched:
            found = await self._nft.listing()
        mend = diff(found, self._ledger.table).without(touched)
        wrong = len({element for element, _ in (*mend.delete, *mend.add)})
        if wrong:
            log.warning("the kernel's table differed in %d elements", wrong)
            self._nft.apply(mend)
        if refusals == self._refusals:
            self._drifted.clear()
            self._reports.health.updated()
            self._drain.announce()
        return wrong

    def _leads_to(self, addresses: set[str]) -> bool:
        # A refused change is in the ledger, but not yet in the kernel.
        return self._drifted.is_set() or any(self._ledger.leads_to(address) for address in addresses)

    def _service_changed(self, old: Obj | None, new: Obj | None) -> None:
        self._reports.numbers.changes["service"] += 1
        self._note(key_of(new or old or {}))

    def _slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        self._reports.queued(old, new)
        if old is not None:
            self._slice_moved(old)
        if new is not None:
            self._slice_moved(new)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        before, after = (hostports.host_ports(pod, self._facts) if pod else [] for pod in (old, new))
        if before != after:
            self._note(_HOST_PORTS)
        if old is not None and (new is None or _identity(new) != _identity(old)):
            self._leaving.discard(_identity(old))

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        zone = labels_of(new).get(ZONE, "") if new else ""
        if zone != self._facts.zone:
            self._facts = replace(self._facts, zone=zone)
            for piece in self._slices.list():
                if any(end.get("hints") for end in piece.get("endpoints") or ()):
                    self._slice_moved(piece)

    def _slice_moved(self, piece: Obj) -> None:
        for key in _services_of(piece):
            self._note(key)

    def _note(self, key: str) -> None:
        self._dirty[key] = None
        self._reports.health.queued()
        if self._ready and not self._arranged:
            self._arranged = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Everything noted in this turn of the loop, as one transaction."""
        self._arranged = False
        if not self._ready:
            return
        begun_s = time.perf_counter()
        noted, self._dirty = self._dirty, {}
        step = self._ledger.update(self._fragments(noted))
        try:
            self._nft.apply(step.change)
        except NftFault as fault:
            log.warning("%s; comparing tables", fault)
            self._refusals += 1
            self._reports.refused()
            self._drifted.set()
        else:
            self._reports.synced(time.perf_counter() - begun_s)
            self._drain.announce()
        if step.stale_flows or step.changed_fronts:
            self._stale.put_nowait(step)

    def _fragments(self, services: Iterable[str]) -> dict[str, Fragment]:
        """The Services as they are now. What they have lost is free from here on."""
        fragments = {key: self._fragment(key) for key in services}
        for key, new in fragments.items():
            self._reports.checks.want(key, new.health)
            for frontend in self._ledger.fragment(key).frontends:
                if frontend not in new.frontends:
                    self._keys.release(frontend)
        return fragments

    def _fragment(self, key: str) -> Fragment:
        if key == _HOST_PORTS:
            asking = self._pods.by_index(_HOST_PORTS, _HOST_PORTS)
            pods = [pod for pod in asking if _identity(pod) not in self._leaving]
            return hostports.fragment(pods, self._facts, self._keys.key)
        service = self._services.get(key)
        if service is None:
            return EMPTY
        known = self._ledger.fragment(key)
        before = self._found if known is EMPTY else seating(known.elements)
        slices = self._slices.by_index(_INDEX, key)
        try:
            return fragment(service, slices, self._facts, self._keys.key, before)
        except (ValueError, OSError, KeyError) as error:
            # No address, no protocol: older objects may hold what is refused today. Others go on.
            log.error("%s: %s; its rules stay as they are", key, error)
            return known

    async def _start(self) -> None:
        """The first table. One that an earlier process left is kept and brought up to date."""
        with _no_garbage():
            await self._make_first_table()
        self._found = NOWHERE
        self._ready = True
        self._reports.health.updated()
        self._reports.forget_triggers()
        self._synced.set()
        if self._dirty:
            self._flush()

    async def _make_first_table(self) -> None:
        table = await self._nft.open()
        if table is None:
            # nft takes as long for the static rules as this process for thousands of Services.
            async with asyncio.TaskGroup() as group:
                group.create_task(self._nft.create(), name="proxy-rules")
                await self._fill_ledger()
            self._nft.apply(diff(fixed_elements(), self._ledger.table))
            return
        self._guard.doubted = not self._nft.outdated
        self._keys.adopt(table)
        self._found = seating(table)
        self._ledger = Ledger(fixed_elements() | of_set(table, MADE_ONCE))
        await self._fill_ledger()
        if self._nft.outdated:
            await self._nft.replace(self._ledger.table)
        else:
            self._nft.apply(diff(table, self._ledger.table))
        flows = stale(flows_of(table), flows_of(self._ledger.table))
        fronts = fronts_of(table) ^ fronts_of(self._ledger.table)
        self._stale.put_nowait(Step(Change(), frozenset(flows), frozenset(fronts)))

    async def _fill_ledger(self) -> None:
        while self._dirty:
            noted = list(islice(self._dirty, _SERVICES_PER_TURN))
            for key in noted:
                del self._dirty[key]
            self._ledger.fill(self._fragments(noted))
            await asyncio.sleep(0)

    def _port_refused(self, service: str, port: int, error: OSError) -> None:
        obj = self._services.get(service)
        if obj is not None:
            self._events.event(
                obj,
                "Warning",
                "FailedToStartServiceHealthcheck",
                f'node {self._config.node_name} failed to start healthcheck "{service}"'
                f" on port {port}: {error}",
            )

    def _ranges_changed(self) -> None:
        self._facts = replace(self._facts, service_cidrs=self._guard.ranges)
        for service in self._services.list():
            if has_external_addresses(service):
                self._note(key_of(service))

    async def _forget_flows(self) -> None:
        """What has gathered meanwhile is forgotten together: the kernel takes as long for one as for many."""
        while True:
            waiting = [await self._stale.get()]
            while not self._stale.empty():
                waiting.append(self._stale.get_nowait())
            steps = [one for one in waiting if isinstance(one, Step)]
            if steps:
                flows = frozenset[Flows]().union(*(step.stale_flows for step in steps))
                fronts = frozenset[Front]().union(*(step.changed_fronts for step in steps))
                await self._conntrack.forget(flows, fronts)
                self._drain.announce()
            for one in waiting:
                if isinstance(one, asyncio.Event):
                    one.set()

    async def _flows_forgotten(self) -> None:
        passed = asyncio.Event()
        self._stale.put_nowait(passed)
        await passed.wait()


@contextmanager
def _no_garbage() -> Iterator[None]:
    """The collector rests while thousands of Services are taken in.

    Nothing made there is garbage, yet for so many new objects it would walk the whole heap again and again:
    two thirds of the time that 10,000 Services took.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _services_of(piece: Obj) -> tuple[str, ...]:
    """The Service an EndpointSlice belongs to, as `namespace/name`."""
    name = labels_of(piece).get(SERVICE_NAME)
    return (f"{namespace_of(piece)}/{name}",) if name else ()


def _identity(pod: Obj) -> str:
    """The Pod's uid; of a static Pod's mirror, the uid that its node knows it by."""
    return annotations_of(pod).get(MIRROR) or uid_of(pod)


def _asks_for_host_ports(pod: Obj) -> tuple[str, ...]:
    return (_HOST_PORTS,) if hostports.has_host_ports(pod) else ()
