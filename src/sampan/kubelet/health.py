"""The health of one Pod's containers: what their probes say becomes `started`, `ready` and `unhealthy`."""

from __future__ import annotations

import time
from collections.abc import Callable

from sampan.kubelet.containerview import ContainerView
from sampan.kubelet.numbers.counters import ProbeCount
from sampan.kubelet.parts import Parts, Say
from sampan.kubelet.podview import PodView
from sampan.kubelet.probers import Target
from sampan.kubelet.probes import LIVENESS, READINESS, STARTUP, ContainerProbes, Listener, Outcome
from sampan.kubelet.runtime.contract import Record


class Health:
    """`awake` makes the Pod's worker look again."""

    def __init__(self, parts: Parts, view: PodView, say: Say, awake: Callable[[], None]) -> None:
        self._parts, self._view, self._say, self._awake = parts, view, say, awake
        self._probes: dict[str, ContainerProbes] = {}

    def watch(self, container: ContainerView, record: Record, *, adopted: bool = False) -> None:
        """Without a probe of a kind its answer is yes."""
        asked = target(self._view, container, record)
        probes = ContainerProbes(
            container.spec,
            lambda probe: self._parts.prober.question(asked, probe),
            Listener(
                lambda kind, result, text: self._probed(container, record, kind, result),
                lambda kind, outcome: self._complained(container, kind, outcome),
                lambda kind, outcome: self._counted(container, kind, outcome),
            ),
            age_s=max(time.time() - record.started_at_s, 0.0),
            known=container.ready if adopted else None,
        )
        if not adopted:
            container.started = not probes.has(STARTUP)
            container.ready = container.started and not probes.has(READINESS)
        self._probes[container.name] = probes
        probes.begin(container.started)

    def _probed(self, container: ContainerView, record: Record, kind: str, result: bool) -> None:
        if container.record is not record:
            return
        if kind == READINESS:
            container.ready = result
        elif kind == STARTUP and result:
            container.started = True
            container.ready = not container.spec.get("readinessProbe")
        elif not result:
            container.unhealthy = f"Container {container.name} failed {kind} probe, will be restarted"
            grace_s = (container.spec.get(f"{kind}Probe") or {}).get("terminationGracePeriodSeconds")
            container.unhealthy_grace_s = None if grace_s is None else float(grace_s)
        self._awake()

    def _counted(self, container: ContainerView, kind: str, outcome: Outcome) -> None:
        result = "successful" if outcome.ok else "unknown" if outcome.unknown else "failed"
        metadata = self._view.pod["metadata"]
        whose = (metadata["namespace"], metadata["name"], self._view.uid, container.name)
        self._parts.counters.probes[ProbeCount(*whose, kind, result)] += 1

    def _complained(self, container: ContainerView, kind: str, outcome: Outcome) -> None:
        reason = "ProbeWarning" if outcome.warning else "Unhealthy"
        self._say("Warning", reason, f"{kind.capitalize()} probe {outcome.complaint}", container)

    def ending(self, container: ContainerView) -> None:
        """It was told to stop: only its readiness matters still."""
        if (probes := self._probes.get(container.name)) is not None:
            probes.end(LIVENESS, STARTUP)

    def ended(self, container: ContainerView) -> None:
        if (probes := self._probes.pop(container.name, None)) is not None:
            probes.end()

    def close(self) -> None:
        for probes in self._probes.values():
            probes.end()


def target(view: PodView, container: ContainerView, record: Record) -> Target:
    """Whom probes and hooks speak to."""
    return Target(view.pod, container.spec, record.spec.id, view.ips[0] if view.ips else "")
