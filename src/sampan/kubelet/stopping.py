"""How a container is told to end: preStop hook, stop signal, and SIGKILL; `plan` says when each is due."""

from __future__ import annotations

import signal

from sampan.kubelet import steady
from sampan.kubelet.containerview import ContainerView
from sampan.kubelet.health import Health
from sampan.kubelet.hookruns import HookRuns
from sampan.kubelet.parts import Parts, Say
from sampan.kubelet.stopsignal import signal_number


class Stopping:
    def __init__(self, parts: Parts, say: Say, *, health: Health, hooks: HookRuns) -> None:
        self._runtime, self._say, self._health, self._hooks = parts.runtime, say, health, hooks

    def stop(self, container: ContainerView, grace_s: float, why: str) -> None:
        record = container.record
        assert record is not None
        container.replace = container.replace or "definition changed" in why
        container.stopping(steady.now_s(), grace_s)
        self._hooks.cancel(container)
        self._health.ending(container)
        self._say("Normal", "Killing", why, container)
        handler = (container.spec.get("lifecycle") or {}).get("preStop")
        if handler is not None and grace_s > 0:
            self._hooks.pre_stop(container, record, handler)

    def signal(self, container: ContainerView) -> None:
        """Whatever hook still runs has used up the grace period."""
        ending, record = container.ending, container.record
        assert ending is not None and record is not None
        if ending.hooked:
            text = "PreStopHook failed: the grace period ended before it did"
            self._say("Warning", "FailedPreStopHook", text, container)
        self._hooks.cancel(container)
        ending.signalled_s = steady.now_s()
        self._runtime.signal(record.spec.id, signal_number(record.spec.stop_signal))

    def kill(self, container: ContainerView) -> None:
        self._hooks.cancel(container)
        assert container.ending is not None and container.record is not None
        container.ending.killed = True
        self._runtime.signal(container.record.spec.id, signal.SIGKILL)
