"""The node agent: gives every Pod of its node a worker, and every worker the events that concern it.

One task group owns everything: the workers, the node's heartbeat, the watches on what Pods refer to. Pods are
told apart by uid: a Pod of the same name is another Pod, and both may have a worker for a while.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection

from sampan.api.objects import Obj, key_of, uid_of
from sampan.api.podspec import image_references, is_terminal
from sampan.api.resources import NODES, PODS, SERVICES
from sampan.api.streams import ExecOptions, LogOptions, NodeUsage, Numbers, Page, Terminal
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.kubelet import node, preemption, pullsecrets
from sampan.kubelet.allocatable import extended
from sampan.kubelet.allocation import Allocation
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.eviction.evictor import Evictor
from sampan.kubelet.eviction.premises import Premises
from sampan.kubelet.hooks import Hooks
from sampan.kubelet.images.collection import ImageCollector
from sampan.kubelet.images.contract import Image, Images
from sampan.kubelet.leftovers import Left, Leftovers
from sampan.kubelet.logrotation import LogRotation
from sampan.kubelet.machine import Machine
from sampan.kubelet.network.contract import Namespace, PodNetwork
from sampan.kubelet.network.namespace import PinnedNamespace, Traveller
from sampan.kubelet.nodeadmission import LACKING, Rejection
from sampan.kubelet.numbers.pages import NumberPages
from sampan.kubelet.numbers.sampler import Sampler
from sampan.kubelet.parts import Gate, OpenGate, Parts
from sampan.kubelet.probers import Prober
from sampan.kubelet.references import References
from sampan.kubelet.resolvconf import Resolver
from sampan.kubelet.runtime.contract import Exit, Record, Runtime
from sampan.kubelet.statics import StaticPods
from sampan.kubelet.streams import Streams
from sampan.kubelet.volumes.claims import FIELDS, Claims
from sampan.kubelet.volumes.contract import Mounter
from sampan.kubelet.volumes.directories import Directories
from sampan.kubelet.volumes.kinds import kinds
from sampan.kubelet.volumes.local import Local
from sampan.kubelet.volumes.mounter import LinuxMounter
from sampan.kubelet.volumes.tokens import Tokens
from sampan.kubelet.volumes.volumes import Volumes
from sampan.kubelet.worker import Worker

RESTART_S = 1.0
"""Before a worker that failed is replaced."""

log = logging.getLogger(__name__)


class Kubelet:
    """Keeps api.streams.NodeStreams. `runtime`, `images` and `network` are opened by `run`.

    `drained(pod)` returns when no kernel rule sends new connections to the Pod any more. `namespace_at` gives
    access to the network namespace pinned at a path, for port-forward. `gate` is asked before a Pod's first
    packet.
    """

    def __init__(
        self,
        client: Client,
        informers: Informers,
        events: EventRecorder,
        runtime: Runtime,
        images: Images,
        network: PodNetwork,
        netns: Namespace,
        config: KubeletConfig,
        drained: Callable[[Obj], Awaitable[None]],
        *,
        mounter: Mounter | None = None,
        namespace_at: Callable[[str], Namespace] | None = None,
        gate: Gate | None = None,
    ) -> None:
        config.pods.mkdir(parents=True, exist_ok=True)
        self.config = config
        self._machine = Machine.found(config.root)
        self._allocation = Allocation(runtime, config, node.capacity(self._machine, config))
        self._pods = informers.informer(PODS, field_selector=f"spec.nodeName={config.node_name}")
        self._services = informers.informer(SERVICES)
        self._nodes = informers.informer(NODES, field_selector=f"metadata.name={config.node_name}")
        self._references = References(client)
        self._references.changed = self._references_changed
        self._node = node.NodeReporter(client, config, self._machine, images.listing)
        self._runtime, self._images, self._network = runtime, images, network
        self._traveller: Traveller | None = None
        self._workers: dict[str, Worker] = {}
        self._group: asyncio.TaskGroup | None = None
        mounter = mounter or LinuxMounter()
        found_kinds = kinds(
            mounter,
            self._references,
            Tokens(client),
            lambda: self._allocation.allocatable,
            images,
            self._pull_for,
        )
        behind_claims = {**found_kinds, "local": Local()}
        claims = Claims(client, self._references, lambda: self._nodes.get(config.node_name), behind_claims)
        self._directories = Directories(client, informers, config.node_name, config.volumes)
        self._parts = Parts(
            client=client,
            events=events,
            runtime=runtime,
            images=images,
            network=network,
            volumes=Volumes(config.pods, {**found_kinds, **dict.fromkeys(FIELDS, claims)}, mounter),
            references=self._references,
            prober=Prober(runtime, netns),
            hooks=Hooks(runtime, netns),
            config=config,
            node_memory_bytes=self._machine.memory_bytes,
            node_resolver=_node_resolver(config),
            allocatable=lambda: self._allocation.allocatable,
            services=self._services.list,
            drained=drained,
            allocation=self._allocation,
            gate=gate or OpenGate(),
        )
        self._leftovers = Leftovers(self._parts)
        self._sampler = Sampler(runtime, self._pod_of)
        self._numbers = NumberPages(self._parts, self._sampler, self._pods.list, self._pod_of)
        self._collector = ImageCollector(
            images,
            config.image_root,
            config.collection,
            self._wanted_images,
            self._warn_of_node,
            self._parts.counters,
        )
        images.on_added = self._image_added
        premises = Premises(
            self._parts,
            self._workers.values,
            self._under_pressure,
            config.image_root,
            self._collector.delete_unused,
        )
        self._evictor = Evictor(config.eviction, runtime, premises)
        self._statics = StaticPods(
            self._parts, self._pods, self._nodes, self._workers, self._take, self._warn_of_node
        )
        self._streams = Streams(
            runtime, self._workers.get, config.pods, netns, namespace_at or self._namespace_at
        )

    @property
    def registered(self) -> asyncio.Event:
        """Set once the API has this Node as Ready."""
        return self._node.registered

    async def run(self) -> None:
        """Until cancelled; containers run on."""
        self._runtime.on_exit = self._exited
        await asyncio.gather(self._runtime.open(), self._images.open(), self._network.open())
        self._node.ips = self._network.node_ips
        self._node.features = self._runtime.features
        await self._leftovers.look()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._node.run(), name="node")
                group.create_task(self._references.run(), name="references")
                group.create_task(self._log_rotation().run(), name="log-rotation")
                group.create_task(self._allocation.run(), name="allocation")
                group.create_task(self._directories.run(), name="directories")
                group.create_task(self._evictor.run(), name="evictor")
                group.create_task(self._collect_images(), name="image-collector")
                self._nodes.subscribe(self._node_changed)
                await self._services.wait_synced()
                # Only a complete list tells which containers belong to nobody.
                await self._pods.wait_synced()
                self._pods.subscribe(self._changed)
                self._statics.look()
                group.create_task(self._statics.run(), name="static-pods")
                for uid, left in self._leftovers.take_all():
                    group.create_task(self._leftovers.end(uid, left), name=f"orphan-{uid}")
        finally:
            self._group = None
            self._parts.prober.close()
            await self._runtime.close()
            if self._traveller is not None:
                self._traveller.close()

    # -- api.streams.NodeStreams

    async def logs(self, pod: Obj, options: LogOptions) -> AsyncIterator[bytes]:
        return await self._streams.logs(self._statics.behind(pod), options)

    async def exec(self, pod: Obj, options: ExecOptions, terminal: Terminal) -> int:
        return await self._streams.exec(self._statics.behind(pod), options, terminal)

    async def attach(self, pod: Obj, options: ExecOptions, terminal: Terminal) -> None:
        await self._streams.attach(self._statics.behind(pod), options, terminal)

    async def port_forward(self, pod: Obj, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await self._streams.port_forward(self._statics.behind(pod), port)

    async def page(self, path: str) -> Page | None:
        return await self._streams.page(path)

    async def numbers(self, path: str) -> Numbers:
        return await self._numbers.page(path)

    async def usage(self) -> NodeUsage:
        return await self._sampler.usage()

    # -- events

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        if self._statics.changed(old, new):
            return
        before = self._workers.get(uid_of(old)) if old is not None else None
        now = self._workers.get(uid_of(new)) if new is not None else None
        if before is not None and before is not now:
            before.gone()
        if old is not None and (new is None or is_terminal(new) or uid_of(new) != uid_of(old)):
            self._allocation.release(uid_of(old))
        if now is not None and new is not None:
            now.update(new)
        elif new is not None:
            self._take(new)

    def _take(self, pod: Obj) -> None:
        """A Pod that is new to this process gets a worker."""
        if self._group is None:
            return
        worker = self._employ(pod, self._leftovers.take(uid_of(pod)))
        known = worker.view.sandbox is not None or "startTime" in (worker.view.pod.get("status") or {})
        if (refused := self._allocation.admit(worker.view.pod, known=known)) is not None:
            self._refuse(worker, refused)
        self._group.create_task(self._live(worker), name=f"pod-{uid_of(pod)}")

    def _refuse(self, worker: Worker, refused: Rejection) -> None:
        """Unless the node needs it more than others."""
        gone = self._allocation.make_room(worker.view.pod) if refused.reason.startswith(LACKING) else []
        for uid in gone:
            self._workers[uid].evict(preemption.REASON, preemption.MESSAGE)
        if not gone:
            worker.reject(refused.reason, refused.message)

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and (found := extended(new)) != self._allocation.extended:
            self._allocation.extend(found)
            self._node.poke()

    def _under_pressure(self, conditions: Collection[str]) -> None:
        self._node.pressures = conditions
        self._node.poke()

    def _employ(self, pod: Obj, left: Left) -> Worker:
        worker = self._workers[uid_of(pod)] = Worker(self._parts, pod)
        if worker.view.static:
            self._statics.employed(worker)
        worker.adopt(left.sandbox, left.records)
        return worker

    async def _live(self, worker: Worker) -> None:
        """Runs one Pod's worker, and another one in its place should it fail."""
        uid = worker.view.uid
        while True:
            try:
                await worker.run()
                break
            except Exception:
                log.exception("Pod %s: starting over", key_of(worker.view.pod))
            await asyncio.sleep(RESTART_S)
            pod, gone = worker.view.pod, worker.view.gone
            left = self._leftovers.of(uid)
            if gone:
                await self._leftovers.end(uid, left)
                break
            worker = self._employ(pod, left)
        self._parts.counters.forget(uid)
        del self._workers[uid]
        if worker.view.static:
            self._statics.ended(worker.view.pod)

    def _exited(self, container_id: str, ended: Exit) -> None:
        known = self._leftovers.ended(container_id)
        if not known and not any(worker.exited(container_id, ended) for worker in self._workers.values()):
            log.debug("container %s, which belongs to no Pod, ended with %d", container_id, ended.code)

    def _pod_of(self, uid: str) -> Obj | None:
        worker = self._workers.get(uid)
        return worker.view.pod if worker is not None else None

    def _image_added(self) -> None:
        self._collector.poke()
        self._node.poke()

    async def _collect_images(self) -> None:
        # Only a complete list of Pods tells which images are wanted.
        await self._pods.wait_synced()
        await self._collector.run()

    def _wanted_images(self) -> set[str]:
        """What Pods that have not ended name: they may start it again at any time."""
        return {
            reference
            for pod in (*self._pods.list(), *self._statics.listed())
            if not is_terminal(pod)
            for reference in image_references(pod)
        }

    def _warn_of_node(self, reason: str, message: str) -> None:
        name = self.config.node_name
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name}}
        self._parts.events.event(node, "Warning", reason, message)

    async def _pull_for(self, pod: Obj, reference: str) -> Image:
        """For an image volume."""
        auth, _ = await pullsecrets.documents(self._references, pod)
        return await self._images.pull(reference, auth=auth)

    def _log_rotation(self) -> LogRotation:
        config = self._parts.config
        return LogRotation(
            self._runtime, self._running, max_bytes=config.log_max_bytes, max_files=config.log_max_files
        )

    def _running(self) -> list[Record]:
        return [record for record in self._runtime.records() if record.exit is None and record.spec.log_path]

    def _references_changed(self, uid: str) -> None:
        if (worker := self._workers.get(uid)) is not None:
            worker.references_changed()

    def _namespace_at(self, path: str) -> Namespace:
        if self._traveller is None:
            self._traveller = Traveller("port-forward")
        return PinnedNamespace(path, self._traveller)


def _node_resolver(config: KubeletConfig) -> Resolver:
    try:
        return Resolver.parse(config.resolv_conf.read_text())
    except OSError:
        return Resolver()
