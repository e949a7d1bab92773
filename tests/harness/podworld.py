"""One Pod, its worker, and everything around it in the hands of a test: the API, images, processes, hooks,
probes, volumes, the kubelet's own restarts. What must hold at every moment is checked where it happens.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from harness.virtualtime import VirtualTime
from sampan.api.errors import StatusError
from sampan.api.objects import Obj, mutable
from sampan.api.resources import PODS
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.kubelet import preparation, steady
from sampan.kubelet.allocation import Allocation
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.containerview import Kind
from sampan.kubelet.hooks import HookFailed
from sampan.kubelet.images.fake import FakeImages, image
from sampan.kubelet.lifecycle import PodState
from sampan.kubelet.network.fake import FakeNetwork
from sampan.kubelet.parts import Parts
from sampan.kubelet.probers import Target
from sampan.kubelet.probes import Outcome
from sampan.kubelet.resolvconf import Resolver
from sampan.kubelet.runtime.contract import Exit, Mount, Record, Sandbox
from sampan.kubelet.runtime.fake import FakeRuntime, Process
from sampan.kubelet.volumes.contract import VolumeFault
from sampan.kubelet.worker import Worker

NAME, SPACE = "web", "default"
ORDER = {"": 0, "Pending": 1, "Running": 2, "Succeeded": 3, "Failed": 3}


class Volumes:
    """`faults`: how many of the next attempts fail."""

    def __init__(self) -> None:
        self.mounted: set[str] = set()
        self.faults = 0
        self.refreshed = 0
        self.refresh_after_s = 0.0
        self.made_s = 0.0

    async def setup(self, pod: Obj) -> None:
        await asyncio.sleep(0.01)
        self.mounted.add(pod["metadata"]["uid"])
        self.made_s = time.time()
        if self.faults:
            self.faults -= 1
            raise VolumeFault("data", "not yet")

    def abandon(self, uid: str) -> None:
        """What is being made is made in a moment."""

    async def refresh(self, pod: Obj) -> None:
        await asyncio.sleep(0.01)
        self.refreshed += 1
        self.made_s = time.time()

    def refresh_due_s(self, uid: str) -> float | None:
        return self.made_s + self.refresh_after_s if self.refresh_after_s else None

    async def mounts(self, *known: Any) -> list[Mount]:
        await asyncio.sleep(0)
        return []

    async def teardown(self, uid: str) -> None:
        await asyncio.sleep(0.01)
        self.mounted.discard(uid)


class References:
    def __init__(self) -> None:
        self.held: set[str] = set()

    def hold(self, pod: Obj) -> None:
        self.held.add(pod["metadata"]["uid"])

    def release(self, uid: str) -> None:
        self.held.discard(uid)

    async def of(self, pod: Obj) -> dict[Any, Any]:
        return {}

    async def get(self, *wanted: Any) -> None:
        return None


class Question:
    def __init__(self, ask: Callable[[], bool]) -> None:
        self._ask = ask

    def ask(self, done: Callable[[Outcome], None]) -> Callable[[], object]:
        loop = asyncio.get_running_loop()
        return loop.call_later(0.001, lambda: done(Outcome(self._ask(), "looked"))).cancel


class _Complaints(logging.Handler):
    """What the worker did not expect is a mistake in it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._problems = problems

    def emit(self, record: logging.LogRecord) -> None:
        self._problems.append(self.format(record))


@contextmanager
def pod_world(root: Path, *, init: Sequence[Obj] = (), **spec: Any) -> Iterator[PodWorld]:
    """A Pod of containers `app0`, ... whose images are there."""
    containers = spec.pop("containers", [{}])

    def filled(name: str, more: Obj) -> Obj:
        return {"name": name, "image": "nginx", "imagePullPolicy": "IfNotPresent", **more}

    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "namespace": SPACE},
        "spec": {
            "nodeName": "node",
            "restartPolicy": "Always",
            "initContainers": [filled(f"init{number}", more) for number, more in enumerate(init)],
            "containers": [filled(f"app{number}", more) for number, more in enumerate(containers)],
            **spec,
        },
    }
    with VirtualTime() as virtual:
        world = PodWorld(root, virtual, pod)
        try:
            yield world
        finally:
            world.close()


class PodWorld:
    """`healthy[container]`: what its probes say. `hook`: what the next hooks do."""

    def __init__(self, root: Path, time: VirtualTime, pod: Obj) -> None:
        self.time = time
        self.api = FakeTransport()
        self.runtime = FakeRuntime({"run": self._serve})
        self.images = FakeImages({"nginx": image("nginx", cmd=["run"]), "other": image("other", cmd=["run"])})
        self.network = FakeNetwork()
        self.volumes, self.references = Volumes(), References()
        self.healthy: dict[str, bool] = {}
        self.hook = "quick"
        self.hooks_running = 0
        self.stubborn: set[str] = set()
        self.drained: set[str] = set()
        self.seen = ""
        self.counts: dict[str, int] = {}
        self.passed: set[str] = set()
        self._done: dict[str, set[str]] = {}
        self._attempts: set[tuple[str, int]] = set()
        self.problems: list[str] = []
        self.said: list[tuple[str, str]] = []
        client = Client(self.api)
        self.parts = Parts(
            client=client,
            events=cast(Any, SimpleNamespace(event=self._event)),
            runtime=self.runtime,
            images=self.images,
            network=self.network,
            volumes=cast(Any, self.volumes),
            references=cast(Any, self.references),
            prober=cast(Any, SimpleNamespace(question=self._question)),
            hooks=cast(Any, SimpleNamespace(run=self._hook)),
            config=KubeletConfig("node", root),
            node_memory_bytes=1 << 30,
            node_resolver=Resolver(),
            allocatable=dict,
            services=list,
            drained=self._drained,
            allocation=Allocation(self.runtime, KubeletConfig("node", root), {}),
        )
        self.runtime.on_exit = self._exited
        self._watch_runtime()
        self._complaints = _Complaints(self.problems)
        logging.getLogger("sampan.kubelet").addHandler(self._complaints)
        self.worker: Worker | None = None
        self._task: asyncio.Task[None] | None = None
        self.api.add(pod)
        assert self.pod is not None
        self.uid: str = self.pod["metadata"]["uid"]
        self.start()

    # -- what a test does

    @property
    def pod(self) -> Obj | None:
        return self.api.get(PODS, NAME, SPACE)

    @property
    def idle(self) -> bool:
        """There is no worker, or it has done all it had to."""
        return self._task is None or self._task.done()

    def start(self) -> None:
        """A kubelet begins, with whatever there is."""

        async def begin() -> None:
            await self.runtime.open()
            for record in list(self.runtime.records()):
                if record.exit is None and not record.started_at_s:
                    await self.runtime.remove(record.spec.id)
            if self.pod is not None:
                self._employ(self.pod)
            else:
                # What the kubelet does with an orphan.
                self.runtime._faults.clear()
                await preparation.release(self.parts, self.uid)
                await preparation.forget(self.parts, self.uid)

        self.time.run(begin())

    def _employ(self, pod: Obj) -> None:
        self.worker = Worker(self.parts, mutable(pod))
        sandboxes: list[Sandbox] = list(self.runtime.sandboxes())
        self.worker.adopt(sandboxes[0] if sandboxes else None, list(self.runtime.records()))
        self._task = self.time.loop.create_task(self.worker.run())

    def kill(self) -> None:
        """The kubelet's process is gone; containers run on. A postStart hook is not begun a second time."""

        async def end() -> None:
            for record in self.running():
                self._note(record.spec.name, "postStart")
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
            await self.runtime.close()
            self.worker = self._task = None

        self.time.run(end())

    def close(self) -> None:
        self.kill()
        logging.getLogger("sampan.kubelet").removeHandler(self._complaints)

    def tell(self) -> None:
        """What a watch would: the Pod as it is, or that it is gone."""
        if self.worker is None:
            return
        if self.pod is None:
            self.worker.gone()
        else:
            self.worker.update(mutable(self.pod))

    def change(self, patch: Obj) -> None:
        self._ask(Client(self.api).patch(PODS, NAME, patch, namespace=SPACE))

    def delete(self, grace_s: int) -> None:
        self._ask(Client(self.api).delete(PODS, NAME, namespace=SPACE, grace_period_s=grace_s))

    def _ask(self, request: Coroutine[Any, Any, object]) -> None:
        async def ask() -> None:
            try:
                await request
            except StatusError as error:
                assert error.code == 404

        self.time.run(ask())
        self.tell_soon()

    def remove(self) -> None:
        if self.pod is not None:
            self.api.remove(PODS, NAME, SPACE)
            self.tell_soon()

    def tell_soon(self) -> None:
        async def tell() -> None:
            self.tell()

        self.time.run(tell())

    def running(self) -> list[Record]:
        return [r for r in self.runtime.records() if r.exit is None and r.started_at_s]

    def finish(self, name: str, code: int) -> None:
        async def end() -> None:
            for record in self.running():
                if record.spec.name == name:
                    self.runtime.finish(record.spec.id, code)

        self.time.run(end())

    def go(self, seconds: float) -> None:
        """Time passes in small steps, and after each the world must be in order."""
        steps = 4
        for _ in range(steps):
            self.time.sleep(seconds / steps)
            if self.worker is not None and self.worker.view.deleting and self.pod is None:
                self.tell_soon()
            self.check()

    # -- what always holds

    def check(self) -> None:
        assert not self.problems, self.problems
        if self._task is not None and self._task.done():
            self._task.result()
            assert self.pod is None, "the worker has left its Pod"
        pod = self.pod
        if pod is None:
            return
        status = pod.get("status") or {}
        phase = status.get("phase", "")
        assert ORDER[phase] >= ORDER[self.seen], f"{self.seen} became {phase}"
        if ORDER[self.seen] == ORDER["Failed"]:
            assert phase == self.seen
        self.seen = phase
        for kind in Kind:
            for entry in status.get(kind.reported) or ():
                before = self.counts.get(entry["name"], 0)
                assert entry["restartCount"] >= before, f"{entry['name']}: {entry['restartCount']} < {before}"
                self.counts[entry["name"]] = entry["restartCount"]
                assert len(entry["state"]) == 1
        if ORDER[phase] == ORDER["Failed"] and self.worker is not None:
            assert not self.running(), f"{phase} while {[r.spec.name for r in self.running()]} run"

    # -- the surroundings

    def _watch_runtime(self) -> None:
        create, signal_, start = self.runtime.create, self.runtime.signal, self.runtime.start

        async def watched_create(spec: Any) -> None:
            if any(record.spec.name == spec.name for record in self.running()):
                self.problems.append(f"two attempts at {spec.name}")
            self._may_start(spec.name)
            await asyncio.sleep(0.004)
            await create(spec)

        async def watched_start(container_id: str) -> Record:
            record = await start(container_id)
            attempt = (record.spec.name, record.spec.attempt)
            if attempt in self._attempts:
                self.problems.append(f"{attempt} a second time: they would share a log")
            self._attempts.add(attempt)
            self._note(record.spec.name, "start")
            await asyncio.sleep(0.002)
            return record

        def watched_signal(container_id: str, number: int) -> None:
            self._may_signal(container_id)
            signal_(container_id, number)

        self.runtime.create = watched_create  # type: ignore[method-assign]
        self.runtime.signal = watched_signal  # type: ignore[method-assign]
        self.runtime.start = watched_start  # type: ignore[method-assign]

    def _note(self, name: str, what: str) -> None:
        """`name` has done something; a sidecar has passed once it has done all that it has to."""
        container = self.worker.view.container(name) if self.worker is not None else None
        if container is None or not container.init:
            return
        spec = container.spec
        self._done.setdefault(name, set()).add(what)
        wanted = {"start"}
        if spec.get("startupProbe"):
            wanted.add("startup")
        if "postStart" in (spec.get("lifecycle") or {}):
            wanted.add("postStart")
        if (wanted if "restartPolicy" in spec else {"end"}) <= self._done[name]:
            self.passed.add(name)

    def _may_start(self, name: str) -> None:
        assert self.worker is not None
        view = self.worker.view
        container = view.container(name)
        assert container is not None
        if container.kind is Kind.APP and not {c.name for c in view.init} <= self.passed:
            self.problems.append(f"{name} starts before {[c.name for c in view.init]}")
        if container.init:
            before = {c.name for c in view.init[: view.init.index(container)]}
            if not before <= self.passed:
                self.problems.append(f"{name} starts before {before}")
        if container.kind is Kind.EPHEMERAL and any(r.spec.name == name for r in self.runtime.records()):
            self.problems.append(f"{name} starts a second time")
        if view.doomed and view.state is not PodState.UP:
            self.problems.append(f"{name} is created in a Pod that is {view.state}")

    def _may_signal(self, container_id: str) -> None:
        if self.worker is None:
            return
        view = self.worker.view
        name = next((r.spec.name for r in self.runtime.records() if r.spec.id == container_id), "")
        container = view.container(name)
        if view.state is not PodState.STOPPING or container is None or not container.sidecar:
            return
        ending = container.ending
        if ending is not None and steady.now_s() >= ending.over_s:
            return
        later = view.sidecars[view.sidecars.index(container) + 1 :]
        others = {c.name for c in (*view.app, *later)} & {r.spec.name for r in self.running()}
        if others:
            self.problems.append(f"{name} is signalled before {others}")

    async def _serve(self, process: Process) -> int:
        if process.spec.name in self.stubborn:
            process.ignored.add(signal.SIGTERM)
        await asyncio.get_running_loop().create_future()
        return 0

    def _question(self, target: Target, probe: Obj) -> Question:
        name = target.container["name"]

        def answer() -> bool:
            ok = self.healthy.get(name, True)
            if ok and probe is target.container.get("startupProbe"):
                self._note(name, "startup")
            return ok

        return Question(answer)

    async def _hook(self, target: Target, handler: Obj) -> None:
        self.hooks_running += 1
        try:
            await asyncio.sleep({"quick": 0.01, "fails": 0.01, "slow": 3, "hangs": 1e6}[self.hook])
            if self.hook == "fails":
                raise HookFailed("no")
            if handler == target.container["lifecycle"].get("postStart"):
                self._note(target.container["name"], "postStart")
        finally:
            self.hooks_running -= 1

    async def _drained(self, pod: Obj) -> None:
        self.drained.add(pod["metadata"]["uid"])
        await asyncio.sleep(0.005)

    def _event(self, pod: Obj, kind: str, reason: str, message: str, **more: Any) -> None:
        self.said.append((reason, message))

    def _exited(self, container_id: str, ended: Exit) -> None:
        if self.worker is not None:
            for record in self.runtime.records():
                if record.spec.id == container_id and ended.code == 0:
                    self._note(record.spec.name, "end")
            self.worker.exited(container_id, ended)
