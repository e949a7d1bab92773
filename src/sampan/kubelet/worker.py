"""One Pod's life on this node: asks `plan` what to do, does it, records what came of it, asks again.

One task per Pod runs `run` and decides. What takes time (pulling, creating, waiting for a hook) runs in tasks
of the worker's group, each of which touches the view only in one go after its await, and then wakes the
worker. Cancelling `run` leaves all containers running: that is how the node's process ends.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Literal

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, annotations_of, is_deleting, key_of, labels_of, name_of, namespace_of
from sampan.api.resources import PODS
from sampan.kubelet import adoption, plan, preparation, starter, steady
from sampan.kubelet.containerspec import PodPlace
from sampan.kubelet.health import Health, target
from sampan.kubelet.hooks import HookFailed
from sampan.kubelet.imagepull import ImagePull
from sampan.kubelet.lifecycle import ContainerState, PodEvent, PodState
from sampan.kubelet.parts import Parts
from sampan.kubelet.podview import ContainerView, Fault, PodView
from sampan.kubelet.reporter import Reporter
from sampan.kubelet.runtime.contract import Exit, Record, Sandbox
from sampan.kubelet.volumes.contract import VolumeFault

PREPARE_RETRY_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 122.0)
RELEASE_RETRY_S = 5.0
DELETE_RETRY_S = 1.0

log = logging.getLogger(__name__)


class Worker:
    """`run` ends when nothing is left to do for this Pod, ever."""

    def __init__(self, parts: Parts, pod: Obj) -> None:
        self.view = PodView.of(pod, time.time())
        self._parts = parts
        self._place = PodPlace(parts.config.pods / self.view.uid)
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._refresh_timer: asyncio.TimerHandle | None = None
        self._group = asyncio.TaskGroup()
        self._forgotten = False
        self._ids: dict[str, ContainerView] = {}
        """Containers by the ID of their current attempt."""
        self._early: dict[str, Exit] = {}
        """Ends that the runtime told before it had answered the start."""
        self._hooks: dict[str, asyncio.Task[None]] = {}
        self._images = ImagePull(parts, self.view, self._event, self._spawn)
        self._health = Health(parts, self.view, self._event, self._awake)
        self._prepare_failures = 0
        self._reporter = Reporter(parts.client, self.view, tuple(parts.network.node_ips), self._follow)
        self._exit_waiters: set[Callable[[], None]] = set()

    # -- what the kubelet tells

    def adopt(self, sandbox: Sandbox | None, records: list[Record]) -> None:
        """Before `run`: goes on with what an earlier process left."""
        adoption.adopt(self.view, sandbox, records, self._place)
        if sandbox is not None and not sandbox.net:
            self.view.ips = tuple(self._parts.network.node_ips)
        elif sandbox is not None and (addresses := self._parts.network.addresses(self.view.uid)):
            self.view.ips = addresses.ips
        self._ids = {c.record.spec.id: c for c in self.view.containers if c.record is not None}

    def update(self, pod: Obj) -> None:
        """The API has a new version of the Pod."""
        before = self.view.pod
        self._follow(pod)
        if self.view.state is PodState.UP and _shown(before) != _shown(pod):
            self._spawn(self._refresh())
        self._awake()

    def gone(self) -> None:
        """The API has no such Pod any more."""
        self.view.gone = True
        self._awake()

    def exited(self, container_id: str, ended: Exit) -> bool:
        """Whether it was a container of this Pod."""
        container = self._ids.get(container_id)
        if container is None:
            return False
        if container.state is ContainerState.STARTING:
            self._early[container_id] = ended
        elif container.record is not None and container.record.exit is None:
            self._exit(container, replace(container.record, exit=ended))
        self._awake()
        return True

    def references_changed(self) -> None:
        """A ConfigMap or Secret that the Pod refers to came, changed or went."""
        self.view.prepare_due_s = 0.0
        for container in self.view.containers:
            if container.fault is not None and container.fault.reason == "CreateContainerConfigError":
                container.fault = replace(container.fault, at_s=0.0)
        if self.view.state is PodState.UP:
            self._spawn(self._refresh())
        self._awake()

    def on_change(self, heard: Callable[[], None]) -> Callable[[], None]:
        """Calls `heard` whenever a container's state changes, until the answer is called."""
        self._exit_waiters.add(heard)
        return lambda: self._exit_waiters.discard(heard)

    # -- the loop

    async def run(self) -> None:
        try:
            async with self._group as group:
                reporter = group.create_task(self._reporter.run(), name=f"status-{key_of(self.view.pod)}")
                if self.view.sandbox is not None:
                    self._parts.references.hold(self.view.pod)
                self._begin_adopted()
                while True:
                    self._step()
                    if self._forgotten:
                        break
                    await self._wake.wait()
                    self._wake.clear()
                reporter.cancel()
        finally:
            self._silence()

    def _step(self) -> None:
        while True:
            actions = plan.plan(self.view, steady.now_s())
            wake_s = 0.0
            acted = False
            for action in actions:
                if isinstance(action, plan.Wake):
                    wake_s = action.at_s
                else:
                    acted = True
                    self._act(action)
            if not acted or self._forgotten:
                break
        self._set_timer(wake_s)
        self._reporter.poke()

    def _set_timer(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at_s:
            delay_s = max(at_s - steady.now_s(), 0.0) + 0.001
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._awake)

    def _awake(self) -> None:
        self._wake.set()
        for heard in tuple(self._exit_waiters):
            heard()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str = "") -> asyncio.Task[None]:
        """A task of this Pod; whatever it forgot to expect is logged and does not end the others."""
        return self._group.create_task(self._guard(work), name=f"{name}-{key_of(self.view.pod)}")

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            log.exception("Pod %s", key_of(self.view.pod))
        finally:
            self._awake()

    def _follow(self, pod: Obj) -> None:
        self.view.follow(pod)
        if self.view.state is PodState.STOPPING and is_deleting(pod):
            self.view.shorten()

    # -- actions

    def _act(self, action: plan.Action) -> None:
        match action:
            case plan.Prepare():
                self.view.advance(PodEvent.PREPARE)
                self.view.preparing = True
                self._spawn(self._prepare(), "prepare")
            case plan.Pull(name):
                self._images.find(self._container(name))
            case plan.Start(name):
                self._begin(self._container(name))
            case plan.Stop(name, grace_s, why):
                self._stop(self._container(name), grace_s, why)
            case plan.Kill(name):
                self._kill(self._container(name))
            case plan.Announce(name):
                self._announce(self._container(name))
            case plan.Condemn(reason, message):
                self.view.verdict = (reason, message)
                self._event("Warning", reason, message)
            case plan.End(grace_s):
                self._end(grace_s)
            case plan.Ended():
                self.view.advance(PodEvent.ENDED)
            case plan.Release():
                self.view.advance(PodEvent.RELEASE)
                self._spawn(self._release(), "release")
            case plan.Delete():
                self.view.deleting = True
                self._spawn(self._delete(), "delete")
            case plan.Forget():
                self._spawn(preparation.forget(self._parts, self.view.uid), "forget")
                self._forgotten = True

    async def _prepare(self) -> None:
        view = self.view
        event = PodEvent.FAILED
        pause_s = PREPARE_RETRY_S[min(self._prepare_failures, len(PREPARE_RETRY_S) - 1)]
        self._prepare_failures += 1
        view.prepare_due_s = steady.now_s() + pause_s
        try:
            view.sandbox, view.ips = await preparation.prepare(self._parts, view.pod)
            event = PodEvent.PREPARED
            self._schedule_refresh()
            for line in preparation.unserved_host_ports(view.pod):
                self._event("Warning", "HostPortNotServed", line)
        except preparation.PrepareFault as fault:
            self._event("Warning", fault.reason, fault.message)
        except Exception as error:
            self._event("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error!r}")
            raise
        finally:
            view.preparing = False
            if view.state is PodState.PREPARING:
                view.advance(event)

    def _begin(self, container: ContainerView) -> None:
        container.begin(steady.now_s())
        container_id = starter.new_id()
        self._early.clear()
        self._ids = {known: view for known, view in self._ids.items() if view is not container}
        self._ids[container_id] = container
        self._spawn(self._start(container, container_id), "start")

    async def _start(self, container: ContainerView, container_id: str) -> None:
        try:
            spec = await starter.configure(self._parts, self.view, container, container_id)
            await starter.create(self._parts, spec)
            self._event("Normal", "Created", f"Created container: {container.name}", container)
            record = await starter.start(self._parts, spec)
        except starter.StartFault as fault:
            self._start_failed(container, fault)
            return
        except BaseException as error:
            # Cancelled or not expected: what the runtime has of it is found by the next process.
            container.failed(Fault("RunContainerError", str(error), steady.now_s()))
            raise
        self._event("Normal", "Started", f"Started container {container.name}", container)
        ended = self._early.pop(container_id, None) or record.exit
        if ended is not None:
            self._exit(container, replace(record, exit=ended))
        else:
            container.running(record)
            self._begin_running(container, record)
        self._awake()
        await starter.discard_old(self._parts, self.view, container)

    def _start_failed(self, container: ContainerView, fault: starter.StartFault) -> None:
        self._event("Warning", "Failed", f"Error: {fault.message}", container)
        shown = Fault(fault.reason, fault.message, steady.now_s())
        if fault.record is None:
            container.failed(shown)
        else:
            container.exited(fault.record, fault.message, shown)
            container.ended_s = steady.now_s()

    def _begin_running(self, container: ContainerView, record: Record) -> None:
        handler = (container.spec.get("lifecycle") or {}).get("postStart")
        if handler is not None:
            container.warming = True
            self._hooks[container.name] = self._spawn(
                self._post_start(container, record, handler), "post-start"
            )
        else:
            self._health.watch(container, record)

    async def _post_start(self, container: ContainerView, record: Record, handler: Obj) -> None:
        try:
            await self._parts.hooks.run(target(self.view, container, record), handler)
        except HookFailed as failure:
            text = f"PostStartHook failed: {failure}"
            self._event("Warning", "FailedPostStartHook", text, container)
            if container.record is record and record.exit is None:
                container.unhealthy = "FailedPostStartHook"
            return
        finally:
            self._hooks.pop(container.name, None)
            container.warming = False
        if container.record is record and container.state is ContainerState.RUNNING:
            self._health.watch(container, record)

    def _stop(self, container: ContainerView, grace_s: float, why: str) -> None:
        record = container.record
        assert record is not None
        container.replace = container.replace or "definition changed" in why
        container.stopping(steady.now_s(), grace_s)
        self._cancel_hook(container)
        self._health.ending(container)
        self._event("Normal", "Killing", why, container)
        handler = (container.spec.get("lifecycle") or {}).get("preStop")
        if handler is not None and grace_s > 0:
            self._hooks[container.name] = self._spawn(self._pre_stop(container, record, handler), "pre-stop")
        else:
            self._send_stop(container, record)

    async def _pre_stop(self, container: ContainerView, record: Record, handler: Obj) -> None:
        ending = container.ending
        try:
            async with asyncio.timeout(ending.grace_s if ending else 0):
                await self._parts.hooks.run(target(self.view, container, record), handler)
        except HookFailed as failure:
            self._event("Warning", "FailedPreStopHook", f"PreStopHook failed: {failure}", container)
        except TimeoutError:
            text = "PreStopHook failed: the grace period ended before it did"
            self._event("Warning", "FailedPreStopHook", text, container)
        finally:
            self._hooks.pop(container.name, None)
        if container.ending is ending:
            self._send_stop(container, record)

    def _send_stop(self, container: ContainerView, record: Record) -> None:
        if container.ending is not None:
            container.ending.signalled_s = steady.now_s()
        self._parts.runtime.signal(record.spec.id, signal_number(record.spec.stop_signal))

    def _kill(self, container: ContainerView) -> None:
        self._cancel_hook(container)
        assert container.ending is not None and container.record is not None
        container.ending.killed = True
        self._parts.runtime.signal(container.record.spec.id, signal.SIGKILL)

    def _announce(self, container: ContainerView) -> None:
        if container.pull_fault is not None:
            container.announced = container.pull_fault
            text = f'Back-off pulling image "{container.spec["image"]}"'
            self._event("Normal", "BackOff", text, container)
            self._event("Warning", "Failed", "Error: ImagePullBackOff", container)
        else:
            container.announced = container.attempt
            text = f"Back-off restarting failed container {container.name} in pod {self.view.full_name}"
            self._event("Warning", "BackOff", text, container)

    def _end(self, grace_s: float) -> None:
        view = self.view
        view.advance(PodEvent.STOP)
        view.ending_s, view.grace_s = steady.now_s(), grace_s
        self._images.cancel()
        if self._refresh_timer is not None:
            self._refresh_timer.cancel()
        serves = any(container.state is ContainerState.RUNNING for container in view.app)
        if view.gone or not serves:
            view.drained = True
        else:
            self._spawn(self._drain(), "drain")

    async def _drain(self) -> None:
        """No kernel rule may lead to a container that has been told to stop."""
        try:
            await self._parts.drained(self.view.pod)
        finally:
            self.view.drained = True

    async def _release(self) -> None:
        view = self.view
        event = PodEvent.FAILED
        view.release_due_s = steady.now_s() + RELEASE_RETRY_S
        try:
            await self._reporter.flush()
            await preparation.release(self._parts, view.uid)
            view.sandbox = None
            event = PodEvent.RELEASED
        finally:
            view.advance(event)

    async def _delete(self) -> None:
        pod = self.view.pod
        try:
            await self._parts.client.delete(
                PODS, name_of(pod), namespace=namespace_of(pod), uid=self.view.uid, grace_period_s=0
            )
        except StatusError as error:
            if error.code in (404, 409):
                return
            log.warning("Pod %s not deleted: %s", key_of(pod), error.message)
        except OSError as error:
            log.warning("Pod %s not deleted: %s", key_of(pod), error)
        else:
            return
        self.view.deleting, self.view.delete_due_s = False, steady.now_s() + DELETE_RETRY_S

    # -- ends, adoption, and what is said

    def _exit(self, container: ContainerView, record: Record) -> None:
        assert record.exit is not None
        self._cancel_hook(container)
        self._health.ended(container)
        container.exited(record, adoption.last_words(container, record, record.exit, self._place))
        container.ended_s = steady.now_s()

    def _begin_adopted(self) -> None:
        if self.view.sandbox is None:
            return
        for container in self.view.containers:
            record = container.record
            if record is not None and container.state is ContainerState.RUNNING:
                known = container.started or container.ready
                self._health.watch(container, record, adopted=known)

    def _cancel_hook(self, container: ContainerView) -> None:
        task = self._hooks.get(container.name)
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        container.warming = False

    async def _refresh(self) -> None:
        try:
            await self._parts.volumes.refresh(self.view.pod)
        except VolumeFault as fault:
            text = f'MountVolume.SetUp failed for volume "{fault.volume}" : {fault.message}'
            self._event("Warning", "FailedMount", text)
        self._schedule_refresh()

    def _schedule_refresh(self) -> None:
        if self._refresh_timer is not None:
            self._refresh_timer.cancel()
        due_s = self._parts.volumes.refresh_due_s(self.view.uid)
        if due_s is not None and self.view.state in (PodState.PREPARING, PodState.UP):
            delay_s = max(due_s - time.time(), 1.0)
            self._refresh_timer = asyncio.get_running_loop().call_later(
                delay_s, lambda: self._spawn(self._refresh(), "refresh")
            )

    def _container(self, name: str) -> ContainerView:
        container = self.view.container(name)
        assert container is not None
        return container

    def _event(
        self,
        kind: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        container: ContainerView | None = None,
    ) -> None:
        path = "" if container is None else container.field_path
        self._parts.events.event(self.view.pod, kind, reason, message, field_path=path)

    def _silence(self) -> None:
        for timer in (self._timer, self._refresh_timer):
            if timer is not None:
                timer.cancel()
        self._health.close()


def _shown(pod: Obj) -> tuple[dict[str, str], dict[str, str]]:
    """What downward API volumes show of a Pod that can change."""
    return labels_of(pod), annotations_of(pod)


def signal_number(name: str) -> int:
    """`SIGQUIT`, `QUIT` or `3`; SIGTERM for what is no signal."""
    if name.isdigit():
        return int(name)
    wanted = name if name.startswith("SIG") else f"SIG{name}"
    if wanted.startswith("SIGRTMIN+"):
        return int(signal.SIGRTMIN) + int(wanted.partition("+")[2])
    return int(getattr(signal, wanted, signal.SIGTERM))
