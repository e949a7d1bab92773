"""One Pod's life on this node: asks `plan` what to do, has it done, and asks again whenever something is new.

One task per Pod runs `run` and decides. What takes time (pulling, creating, waiting for a hook) runs in tasks
of the worker's group, each of which touches the view only in one go after its await, and then wakes the
worker. Cancelling `run` leaves all containers running: that is how the node's process ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Literal

from sampan.api.objects import Obj, annotations_of, is_deleting, key_of, labels_of, uid_of
from sampan.kubelet import actions, adoption, plan, preparation, steady
from sampan.kubelet.attempts import Attempts
from sampan.kubelet.containerspec import PodPlace
from sampan.kubelet.containerview import ContainerView
from sampan.kubelet.departure import Departure
from sampan.kubelet.health import Health
from sampan.kubelet.hookruns import HookRuns
from sampan.kubelet.imagepull import ImagePull
from sampan.kubelet.lifecycle import ENDED, PodEvent, PodState
from sampan.kubelet.parts import Parts
from sampan.kubelet.podresize import PodResize
from sampan.kubelet.podview import PodView
from sampan.kubelet.reporter import Reporter
from sampan.kubelet.runtime.contract import Exit, Record, Sandbox
from sampan.kubelet.stopping import Stopping
from sampan.kubelet.volumerefresh import VolumeRefresh

PREPARE_RETRY_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 122.0)

log = logging.getLogger(__name__)


class Worker:
    """`run` ends when nothing is left to do for this Pod, ever."""

    def __init__(self, parts: Parts, pod: Obj) -> None:
        self._resize = PodResize(parts, self._event, self._spawn, self._look_again)
        self.view = self._resize.view = PodView.of(self._resize.begin(pod), time.time())
        self._parts = parts
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._group = asyncio.TaskGroup()
        self._forgotten = False
        self._prepare_failures = 0
        self._listeners: set[Callable[[], None]] = set()
        say, spawn = self._event, self._spawn
        self._reporter = Reporter(parts.client, self.view, tuple(parts.network.node_ips), self._answered)
        self._images = ImagePull(parts, self.view, say, spawn)
        self._health = Health(parts, self.view, say, self._awake)
        self._refresh = VolumeRefresh(parts, self.view, say, spawn)
        self._departure = Departure(parts, self.view, say, spawn, self._reporter)
        hooks = HookRuns(parts, self.view, say, spawn)
        self._stopping = Stopping(parts, say, health=self._health, hooks=hooks)
        self._attempts = Attempts(parts, self.view, say, spawn, self._awake, health=self._health, hooks=hooks)

    # -- what the kubelet tells

    def adopt(self, sandbox: Sandbox | None, records: list[Record]) -> None:
        """Before `run`: goes on with what an earlier process left."""
        adoption.adopt(self.view, sandbox, records, PodPlace(self._parts.config.pods / self.view.uid))
        if sandbox is not None and not sandbox.net:
            self.view.ips = tuple(self._parts.network.node_ips)
        elif sandbox is not None and (addresses := self._parts.network.addresses(self.view.uid)):
            self.view.ips = addresses.ips
        self._attempts.adopt()

    def update(self, pod: Obj) -> None:
        """The API has a new version of the Pod."""
        before = self.view.pod
        self._follow(pod)
        if self.view.sandbox is not None and before["spec"] != pod["spec"]:
            # An ephemeral container may refer to what no other does.
            self._parts.references.hold(pod)
        if self.view.state is PodState.UP and _shown(before) != _shown(pod):
            self._refresh.now()
        self._awake()

    def mirrored(self, mirror: Obj | None) -> None:
        """What the API has in a static Pod's stead."""
        known = uid_of(self.view.mirror) if self.view.mirror else ""
        self.view.mirrored(mirror)
        if mirror is not None and uid_of(mirror) != known:
            self._reporter.renew()
        self._awake()

    def reject(self, reason: str, message: str) -> None:
        """Before `run`: the node does not take the Pod."""
        self.view.verdict, self.view.rejected = (reason, f"Pod was rejected: {message}"), True
        self._event("Warning", reason, message)

    def gone(self) -> None:
        """The API has no such Pod any more."""
        self.view.gone = True
        if self.view.state is PodState.STOPPING:
            self.view.shorten()
        self._awake()

    def exited(self, container_id: str, ended: Exit) -> bool:
        """Whether it was a container of this Pod."""
        if not self._attempts.exited(container_id, ended):
            return False
        self._awake()
        return True

    def evict(self, reason: str, message: str, *, grace_s: float | None = None) -> None:
        """The node ends the Pod for its own sake; `reason`: `Evicted`. One that has ended stays as it is."""
        if self.view.verdict is None and self.view.state not in ENDED:
            self.view.verdict, self.view.verdict_grace_s = (reason, message), grace_s
            self.view.disruption = ("TerminationByKubelet", message)
            self._event("Warning", reason, message)
            self._awake()

    def references_changed(self) -> None:
        """A ConfigMap or Secret that the Pod refers to came, changed or went."""
        self.view.prepare_due_s = 0.0
        for container in self.view.containers:
            if container.fault is not None and container.fault.reason == "CreateContainerConfigError":
                container.fault = replace(container.fault, at_s=0.0)
        if self.view.state is PodState.UP:
            self._refresh.now()
        self._awake()

    def on_change(self, heard: Callable[[], None]) -> Callable[[], None]:
        """Calls `heard` whenever a container's state changes, until the answer is called."""
        self._listeners.add(heard)
        return lambda: self._listeners.discard(heard)

    # -- the loop

    async def run(self) -> None:
        try:
            async with self._group as group:
                reporter = group.create_task(self._reporter.run(), name=f"status-{key_of(self.view.pod)}")
                self._resize.open()
                if self.view.sandbox is not None:
                    self._parts.references.hold(self.view.pod)
                    self._attempts.watch_adopted()
                    if self.view.sandbox.net and self.view.ips:
                        self._spawn(self._parts.gate.admitted(self.view.pod, self.view.ips), "admit")
                    if self.view.state is PodState.UP:
                        # Sources may have changed while nobody looked, and tokens are not remembered.
                        self._refresh.now()
                while True:
                    self._step()
                    if self._forgotten:
                        break
                    await self._wake.wait()
                    self._wake.clear()
                reporter.cancel()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._refresh.cancel()
            self._resize.close()
            self._health.close()

    def _step(self) -> None:
        while True:
            planned = plan.plan(self.view, steady.now_s())
            wake_s = 0.0
            acted = False
            for action in planned:
                if isinstance(action, actions.Wake):
                    wake_s = action.at_s
                else:
                    acted = True
                    self._act(action)
            if not acted or self._forgotten:
                break
        self._set_timer(wake_s)
        self._resize.settle()
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
        for heard in tuple(self._listeners):
            heard()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """A task of this Pod; whatever it forgot to expect is logged and does not end the others."""
        return self._group.create_task(self._guard(work), name=f"{name}-{key_of(self.view.pod)}")

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            log.exception("Pod %s", key_of(self.view.pod))
        finally:
            self._awake()

    def _look_again(self) -> None:
        """Room has become free, or a resize does not come to its end."""
        self._follow(self._resize.latest)
        self._awake()

    def _answered(self, pod: Obj) -> None:
        """A status was written."""
        if self.view.static:
            self.view.mirrored(pod)
        else:
            self._follow(pod)

    def _follow(self, pod: Obj) -> None:
        if self.view.static:
            return  # what becomes of its mirror is nothing to it
        self.view.follow(self._resize.allocated(pod))
        if self.view.state is PodState.STOPPING and is_deleting(pod):
            self.view.shorten()

    # -- actions

    def _act(self, action: actions.Action) -> None:
        match action:
            case actions.Prepare():
                self.view.advance(PodEvent.PREPARE)
                self.view.preparing = True
                self._spawn(self._prepare(), "prepare")
            case actions.Pull(name):
                self._images.find(self._container(name))
            case actions.Start(name):
                self._attempts.begin(self._container(name))
            case actions.Stop(name, grace_s, why):
                self._stopping.stop(self._container(name), grace_s, why)
            case actions.Signal(name):
                self._stopping.signal(self._container(name))
            case actions.Kill(name):
                self._stopping.kill(self._container(name))
            case actions.Announce(name):
                self._announce(self._container(name))
            case actions.Condemn(reason, message):
                self.view.verdict = (reason, message)
                self._event("Warning", reason, message)
            case actions.End(grace_s):
                self._images.cancel()
                self._parts.volumes.abandon(self.view.uid)
                self._refresh.cancel()
                self._departure.begin(grace_s)
            case actions.Ended():
                self.view.advance(PodEvent.ENDED)
            case actions.Release():
                self._departure.release()
            case actions.Delete():
                self._departure.delete()
            case actions.Forget():
                self._departure.forget()
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
            self._refresh.schedule()
        except preparation.PrepareFault as fault:
            self._event("Warning", fault.reason, fault.message)
        except OSError as error:  # a full disk, say; it will not always be full
            self._event("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
        except Exception as error:
            self._event("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error!r}")
            raise
        finally:
            view.preparing = False
            if view.state is PodState.PREPARING:
                view.advance(event)

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


def _shown(pod: Obj) -> tuple[dict[str, str], dict[str, str]]:
    """What downward API volumes show of a Pod that can change."""
    return labels_of(pod), annotations_of(pod)
