"""When containers are probed, and what a row of results means.

`Tally` is pure: it counts results against the thresholds. `ContainerProbes` holds the timers of one
container; an idle probe costs one timer of the event loop and no task. All of it runs on the event loop of
the worker that owns the container.

A connection that is refused while a process is still on its way to `listen` is tried again after a few
milliseconds, then twice as long, within the first period: nobody can see that, and a server is found ready
when it is instead of a period later. Such early refusals count neither as failures nor as events.

Source: concepts/configuration/liveness-readiness-startup-probes, "Configure Probes".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sampan.api.objects import Obj

STARTUP, LIVENESS, READINESS = "startup", "liveness", "readiness"
FIELDS = {STARTUP: "startupProbe", LIVENESS: "livenessProbe", READINESS: "readinessProbe"}

EAGER_S = 0.004
"""The first pause after a refused connection."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One probe's result.

    `refused`: nobody listened. `unknown`: it could not be asked, which proves nothing.
    """

    ok: bool
    text: str = ""
    refused: bool = False
    unknown: bool = False

    @property
    def complaint(self) -> str:
        return f"{'errored and resulted in unknown state' if self.unknown else 'failed'}: {self.text}"


@dataclass(slots=True)
class Tally:
    """`result` changes after so many equal outcomes in a row; None until then."""

    success_threshold: int = 1
    failure_threshold: int = 3
    result: bool | None = None
    row: int = 0
    last: bool | None = None

    @classmethod
    def of(cls, probe: Obj) -> Tally:
        return cls(probe.get("successThreshold") or 1, probe.get("failureThreshold") or 3)

    def count(self, ok: bool) -> bool:
        """Whether `result` is another one now."""
        self.row = self.row + 1 if ok is self.last else 1
        self.last = ok
        if self.row < (self.success_threshold if ok else self.failure_threshold) or ok is self.result:
            return False
        self.result = ok
        return True


Run = Callable[[str, Obj], Awaitable[Outcome]]
"""(kind, probe) -> outcome, within the probe's own timeout."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of it: `changed(kind, result, text)`; `failed(kind, complaint)` for every single failure."""

    changed: Callable[[str, bool, str], None]
    failed: Callable[[str, str], None]


class ContainerProbes:
    """The probes of one running container; `age_s` is how long it has been running."""

    def __init__(self, spec: Obj, run: Run, listener: Listener, *, age_s: float = 0.0) -> None:
        self._loop = asyncio.get_running_loop()
        self._started_s = self._loop.time() - age_s
        self._probes = {kind: spec[field] for kind, field in FIELDS.items() if spec.get(field)}
        self._tallies = {kind: Tally.of(probe) for kind, probe in self._probes.items()}
        self._run, self._listener = run, listener
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def has(self, kind: str) -> bool:
        return kind in self._probes

    def begin(self, started: bool) -> None:
        """`started`: the startup probe has succeeded already."""
        if self.has(STARTUP) and not started:
            self._first(STARTUP)
        else:
            self._first(LIVENESS)
            self._first(READINESS)

    def end(self, *kinds: str) -> None:
        """No more probes of these kinds; of all if none is named."""
        for kind in kinds or tuple(self._probes):
            if (timer := self._timers.pop(kind, None)) is not None:
                timer.cancel()
            if (task := self._tasks.pop(kind, None)) is not None and task is not asyncio.current_task():
                task.cancel()
            self._probes.pop(kind, None)

    def _first(self, kind: str) -> None:
        if (probe := self._probes.get(kind)) is None:
            return
        due_s = max(self._started_s + (probe.get("initialDelaySeconds") or 0), self._loop.time())
        self._at(kind, due_s, due_s)

    def _at(self, kind: str, when_s: float, turn_s: float, pause_s: float = EAGER_S) -> None:
        """Probe at `when_s`; `turn_s` is the regular time that this attempt belongs to."""
        self._timers[kind] = self._loop.call_at(when_s, self._fire, kind, turn_s, pause_s)

    def _fire(self, kind: str, turn_s: float, pause_s: float) -> None:
        self._tasks[kind] = self._loop.create_task(self._attempt(kind, turn_s, pause_s), name=f"probe-{kind}")

    async def _attempt(self, kind: str, turn_s: float, pause_s: float) -> None:
        probe = self._probes[kind]
        outcome = await self._run(kind, probe)
        if kind not in self._probes:
            return
        now_s = self._loop.time()
        next_s = turn_s + (probe.get("periodSeconds") or 10)
        if outcome.refused and self._is_early(kind) and now_s + pause_s < next_s:
            self._at(kind, now_s + pause_s, turn_s, pause_s * 2)
            return
        self._take(kind, outcome)
        if kind in self._probes:
            # A probe that takes longer than its period is followed by the next at once.
            self._at(kind, max(next_s, now_s), max(next_s, now_s), float("inf"))

    def _is_early(self, kind: str) -> bool:
        return kind != LIVENESS and self._tallies[kind].last is None

    def _take(self, kind: str, outcome: Outcome) -> None:
        if not outcome.ok:
            self._listener.failed(kind, outcome.complaint)
        if outcome.unknown:
            return
        tally = self._tallies[kind]
        if not tally.count(outcome.ok):
            return
        assert tally.result is not None
        if kind == STARTUP and tally.result:
            self.end(STARTUP)
            self._first(LIVENESS)
            self._first(READINESS)
        elif kind != READINESS and not tally.result:
            self.end(kind)
        self._listener.changed(kind, tally.result, outcome.text)
