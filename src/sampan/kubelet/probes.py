"""When containers are probed, and what a row of results means.

`Tally` is pure: it counts results against the thresholds. `ContainerProbes` holds the timers of one
container; an idle probe costs one timer of the event loop and no task. All of it runs on the event loop of
the worker that owns the container.

A connection that is refused while a process is still on its way to `listen` is tried again after a few
milliseconds, then twice as long, within the first period: nobody can see that, and a server is found ready
when it is instead of a period later. Such early refusals count neither as failures nor as events.

A probe whose container was taken over from an earlier process waits for a random part of its period, lest
all containers of a node be asked at once; until then what was known of it stands.

Source: concepts/configuration/liveness-readiness-startup-probes, "Configure Probes".
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sampan.api.objects import Obj

STARTUP, LIVENESS, READINESS = "startup", "liveness", "readiness"
FIELDS = {STARTUP: "startupProbe", LIVENESS: "livenessProbe", READINESS: "readinessProbe"}

EAGER_S = 0.004
"""The first pause after a refused connection."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One probe's result.

    `refused`: nobody listened. `unknown`: it could not be asked, which proves nothing. `warning`: it is a
    success that somebody should hear of.
    """

    ok: bool
    text: str = ""
    refused: bool = False
    unknown: bool = False
    warning: bool = False

    @property
    def complaint(self) -> str:
        if self.warning:
            return f"warning: {self.text}"
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


Done = Callable[[Outcome], None]
Cancel = Callable[[], object]


class Question(Protocol):
    """May be asked again and again, but not before it has been answered."""

    def ask(self, done: Done) -> Cancel:
        """Calls `done` within the probe's own timeout, maybe before it returns; never after `cancel`."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of it: `changed(kind, result, text)`; `complained(kind, outcome)` for every single failure
    and warning; `counted(kind, outcome)` for every probe, where somebody counts them."""

    changed: Callable[[str, bool, str], None]
    complained: Callable[[str, Outcome], None]
    counted: Callable[[str, Outcome], None] | None = None


class ContainerProbes:
    """The probes of one running container.

    `age_s` is how long it has been running. `known`: whether it was ready, if it was taken over.
    """

    def __init__(
        self,
        spec: Obj,
        question: Callable[[Obj], Question],
        listener: Listener,
        *,
        age_s: float = 0.0,
        known: bool | None = None,
    ) -> None:
        now_s = asyncio.get_running_loop().time()
        self._started_s, self._listener, self._known = now_s - age_s, listener, known
        self._courses = {
            kind: _Course(self, kind, spec[field], question)
            for kind, field in FIELDS.items()
            if spec.get(field)
        }

    def has(self, kind: str) -> bool:
        return kind in self._courses

    def begin(self, started: bool) -> None:
        """`started`: the startup probe has succeeded already."""
        for kind in (STARTUP,) if self.has(STARTUP) and not started else (LIVENESS, READINESS):
            self._first(kind)

    def end(self, *kinds: str) -> None:
        """No more probes of these kinds; of all if none is named."""
        for kind in kinds or tuple(self._courses):
            if (course := self._courses.pop(kind, None)) is not None:
                course.end()

    def _first(self, kind: str) -> None:
        if (course := self._courses.get(kind)) is not None:
            course.begin(self._started_s, self._known)

    def heard(self, kind: str, tally: Tally, outcome: Outcome) -> None:
        """A course of ours has made its round."""
        if self._listener.counted is not None:
            self._listener.counted(kind, outcome)
        if outcome.warning or not outcome.ok:
            self._listener.complained(kind, outcome)
        if outcome.unknown or not tally.count(outcome.ok):
            return
        assert tally.result is not None
        if kind == STARTUP and tally.result:
            self.end(STARTUP)
            self._first(LIVENESS)
            self._first(READINESS)
        elif kind != READINESS and not tally.result:
            self.end(kind)
        self._listener.changed(kind, tally.result, outcome.text)


class _Course:
    """One probe of one container, round after round. Either its timer runs or its question has been asked."""

    __slots__ = (
        "_cancel", "_delay_s", "_ended", "_loop", "_make", "_owner", "_pause_s", "_period_s", "_question",
        "_timer", "_turn_s", "kind", "tally",
    )  # fmt: skip

    def __init__(
        self, owner: ContainerProbes, kind: str, probe: Obj, question: Callable[[Obj], Question]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._owner, self.kind, self.tally = owner, kind, Tally.of(probe)
        self._question = question(probe)
        self._delay_s = float(probe.get("initialDelaySeconds") or 0)
        self._period_s = float(probe.get("periodSeconds") or 10)
        self._timer: asyncio.TimerHandle | None = None
        self._cancel: Cancel | None = None
        self._pause_s, self._turn_s = EAGER_S, 0.0
        self._ended = False

    def begin(self, started_s: float, known: bool | None) -> None:
        now_s = self._loop.time()
        self._turn_s = max(started_s + self._delay_s, now_s)
        if known is not None:
            # What is not ready yet may become so at any moment; the rest can wait for its turn.
            late_s = random.random() * self._period_s if known or self.kind == LIVENESS else 0.0
            self._turn_s += late_s
            self._pause_s = float("inf")
            if self.kind == READINESS:
                self.tally.result = known
        self._at(self._turn_s)

    def end(self) -> None:
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        if self._cancel is not None:
            self._cancel()

    def _at(self, when_s: float) -> None:
        self._timer = self._loop.call_at(when_s, self._fire)

    def _fire(self) -> None:
        self._cancel = self._question.ask(self._answered)

    def _answered(self, outcome: Outcome) -> None:
        if self._ended:
            return
        now_s = self._loop.time()
        next_s = self._turn_s + self._period_s
        # The turn is the regular time that this attempt belongs to; eager ones come between two turns.
        if outcome.refused and self._is_early() and now_s + self._pause_s < next_s:
            self._at(now_s + self._pause_s)
            self._pause_s *= 2
            return
        self._pause_s = float("inf")
        self._owner.heard(self.kind, self.tally, outcome)
        if not self._ended:
            # A probe that takes longer than its period is followed by the next at once.
            self._turn_s = max(next_s, now_s)
            self._at(self._turn_s)

    def _is_early(self) -> bool:
        return self.kind != LIVENESS and self.tally.last is None
