"""How a Pod leaves its node: out of the endpoints, then everything is given back, then the object goes."""

from __future__ import annotations

import logging

from sampan.api.errors import StatusError
from sampan.api.objects import key_of, name_of, namespace_of
from sampan.api.resources import PODS
from sampan.kubelet import preparation, steady
from sampan.kubelet.lifecycle import ContainerState, PodEvent
from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.parts import Parts, Say, Spawn
from sampan.kubelet.podview import PodView
from sampan.kubelet.reporter import Reporter
from sampan.kubelet.runtime.contract import RuntimeFault

RELEASE_RETRY_S = 5.0
DELETE_RETRY_S = 1.0

log = logging.getLogger(__name__)


class Departure:
    def __init__(self, parts: Parts, view: PodView, say: Say, spawn: Spawn, reporter: Reporter) -> None:
        self._parts, self._view, self._say = parts, view, say
        self._spawn, self._reporter = spawn, reporter

    def begin(self, grace_s: float) -> None:
        view = self._view
        view.advance(PodEvent.STOP)
        view.ending_s, view.grace_s = steady.now_s(), grace_s
        serves = any(container.state is ContainerState.RUNNING for container in (*view.app, *view.sidecars))
        if view.gone or not serves:
            view.drained = True
        else:
            self._spawn(self._drain(), "drain")

    def release(self) -> None:
        self._view.advance(PodEvent.RELEASE)
        self._spawn(self._release(), "release")

    def delete(self) -> None:
        self._view.deleting = True
        self._spawn(self._delete(), "delete")

    def forget(self) -> None:
        self._spawn(preparation.forget(self._parts, self._view.uid), "forget")

    async def _drain(self) -> None:
        """No kernel rule may lead to a container that has been told to stop."""
        try:
            await self._parts.drained(self._view.pod)
        finally:
            self._view.drained = True

    async def _release(self) -> None:
        view = self._view
        event = PodEvent.FAILED
        view.release_due_s = steady.now_s() + RELEASE_RETRY_S
        try:
            await self._reporter.flush()
            await preparation.release(self._parts, view.uid)
            view.sandbox = None
            event = PodEvent.RELEASED
        except (RuntimeFault, NetworkFault, OSError) as fault:
            self._say("Warning", "FailedKillPod", f"error killing pod: {fault}")
        finally:
            view.advance(event)

    async def _delete(self) -> None:
        pod = self._view.pod
        try:
            await self._parts.client.delete(
                PODS, name_of(pod), namespace=namespace_of(pod), uid=self._view.uid, grace_period_s=0
            )
        except StatusError as error:
            if error.code in (404, 409):
                return
            log.warning("Pod %s not deleted: %s", key_of(pod), error.message)
        except OSError as error:
            log.warning("Pod %s not deleted: %s", key_of(pod), error)
        else:
            return
        self._view.deleting, self._view.delete_due_s = False, steady.now_s() + DELETE_RETRY_S
