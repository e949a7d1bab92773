"""Thresholds, timers and gates of probes."""

from __future__ import annotations

import asyncio

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.probes import (
    LIVENESS,
    READINESS,
    STARTUP,
    Cancel,
    ContainerProbes,
    Done,
    Listener,
    Outcome,
    Tally,
)

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize(
    ("success", "failure", "outcomes", "changes"),
    [
        (1, 3, "+", "+"),
        (1, 3, "---", "  -"),
        (1, 3, "--+---", "  +  -"),
        (2, 1, "++-+-++", " +-   +"),
        (1, 3, "+++", "+  "),
    ],
)
def test_tally(success: int, failure: int, outcomes: str, changes: str) -> None:
    tally = Tally(success, failure)
    seen = ""
    for outcome in outcomes:
        changed = tally.count(outcome == "+")
        seen += ("+" if tally.result else "-") if changed else " "
    assert seen == changes


class Probed:
    """A container whose answers the test decides."""

    def __init__(self, **answers: Outcome) -> None:
        self.answers, self.asked = answers, []  # type: tuple[Any, list[str]]
        self.heard: list[tuple[str, bool]] = []
        self.failures: list[str] = []
        self.known: bool | None = None

    def probes(self, **spec: Obj) -> ContainerProbes:
        listener = Listener(
            lambda kind, result, text: self.heard.append((kind, result)),
            lambda kind, outcome: self.failures.append(kind),
        )
        kinds = {id(probe): kind for kind, probe in spec.items()}
        specs = {f"{kind}Probe": probe for kind, probe in spec.items()}
        return ContainerProbes(specs, lambda probe: Asked(self, kinds[id(probe)]), listener, known=self.known)


class Asked:
    """Keeps probes.Question; the answer is there at once."""

    def __init__(self, container: Probed, kind: str) -> None:
        self._container, self._kind = container, kind

    def ask(self, done: Done) -> Cancel:
        self._container.asked.append(self._kind)
        done(self._container.answers[self._kind])
        return lambda: None


async def test_first_probe_comes_at_once() -> None:
    container = Probed(readiness=Outcome(True))
    probes = container.probes(readiness={"periodSeconds": 10})
    probes.begin(True)
    await asyncio.sleep(0.01)
    assert container.heard == [(READINESS, True)]
    probes.end()


async def test_startup_gates_the_others() -> None:
    container = Probed(startup=Outcome(False), readiness=Outcome(True), liveness=Outcome(True))
    probes = container.probes(
        startup={"periodSeconds": 0.02, "failureThreshold": 30},
        readiness={"periodSeconds": 10},
        liveness={"periodSeconds": 10},
    )
    probes.begin(False)
    await asyncio.sleep(0.03)
    assert set(container.asked) == {STARTUP}
    container.answers["startup"] = Outcome(True)
    await asyncio.sleep(0.05)
    assert container.heard[0] == (STARTUP, True)
    assert {READINESS, LIVENESS} <= set(container.asked)
    probes.end()


async def test_refused_connections_are_retried_quickly_and_quietly() -> None:
    container = Probed(readiness=Outcome(False, "refused", refused=True))
    probes = container.probes(readiness={"periodSeconds": 10})
    probes.begin(True)
    await asyncio.sleep(0.05)
    assert 3 <= len(container.asked) <= 5
    assert container.failures == []
    container.answers["readiness"] = Outcome(True)
    await asyncio.sleep(0.1)
    assert container.heard == [(READINESS, True)]
    asked = len(container.asked)
    await asyncio.sleep(0.1)
    assert len(container.asked) == asked
    probes.end()


async def test_refusals_count_once_the_period_is_over() -> None:
    container = Probed(readiness=Outcome(False, "refused", refused=True))
    probes = container.probes(readiness={"periodSeconds": 0.05, "failureThreshold": 2})
    probes.begin(True)
    await asyncio.sleep(0.2)
    assert container.heard == [(READINESS, False)]
    assert len(container.failures) >= 2
    probes.end()


async def test_failed_liveness_is_said_once() -> None:
    container = Probed(liveness=Outcome(False))
    probes = container.probes(liveness={"periodSeconds": 0.01, "failureThreshold": 2})
    probes.begin(True)
    await asyncio.sleep(0.08)
    assert container.heard == [(LIVENESS, False)]
    assert len(container.asked) == 2


async def test_ended_probes_ask_no_more() -> None:
    container = Probed(readiness=Outcome(True))
    probes = container.probes(readiness={"periodSeconds": 0.01})
    probes.begin(True)
    await asyncio.sleep(0.005)
    probes.end()
    asked = len(container.asked)
    await asyncio.sleep(0.03)
    assert len(container.asked) == asked


async def test_what_could_not_be_asked_proves_nothing() -> None:
    container = Probed(liveness=Outcome(False, "no such command", unknown=True))
    probes = container.probes(liveness={"periodSeconds": 0.01, "failureThreshold": 1})
    probes.begin(True)
    await asyncio.sleep(0.05)
    assert container.heard == [] and len(container.failures) > 1
    assert container.answers["liveness"].complaint == (
        "errored and resulted in unknown state: no such command"
    )
    probes.end()


async def test_what_was_known_stands_until_the_next_turn_comes() -> None:
    """All containers of a restarted node are not asked in one moment."""
    turns = []
    for _ in range(20):
        container = Probed(readiness=Outcome(True), liveness=Outcome(True))
        container.known = True
        probes = container.probes(readiness={"periodSeconds": 0.1}, liveness={"periodSeconds": 0.1})
        probes.begin(True)
        await asyncio.sleep(0.02)
        turns.append(len(container.asked))
        assert (READINESS, True) not in container.heard  # it is no news
        probes.end()
    assert sum(turns) < 20


async def test_an_adopted_container_that_was_not_ready_is_asked_at_once() -> None:
    container = Probed(readiness=Outcome(True))
    container.known = False
    probes = container.probes(readiness={"periodSeconds": 10})
    probes.begin(True)
    await asyncio.sleep(0.01)
    assert container.heard == [(READINESS, True)]
    probes.end()


async def test_an_adopted_container_fails_by_its_threshold_alone() -> None:
    container = Probed(readiness=Outcome(False, "refused", refused=True))
    container.known = True
    probes = container.probes(readiness={"periodSeconds": 0.02, "failureThreshold": 3})
    probes.begin(True)
    await asyncio.sleep(0.15)
    assert container.heard == [(READINESS, False)]
    assert container.asked[:3] == ["readiness"] * 3 and len(container.failures) == len(container.asked)
    probes.end()


async def test_warnings_are_told_and_count_as_success() -> None:
    container = Probed(readiness=Outcome(True, "moved", warning=True))
    probes = container.probes(readiness={"periodSeconds": 10})
    probes.begin(True)
    await asyncio.sleep(0.01)
    assert container.heard == [(READINESS, True)] and container.failures == ["readiness"]
    probes.end()
