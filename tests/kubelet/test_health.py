"""What probes say of a container, and what the node makes of it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness import podviews
from harness.podviews import make_view, up
from sampan.api.objects import Obj
from sampan.kubelet.containerview import ContainerView
from sampan.kubelet.health import Health
from sampan.kubelet.numbers.counters import Counters
from sampan.kubelet.probes import LIVENESS, READINESS, Cancel, Done, Outcome

pytestmark = pytest.mark.virtual_time

GOOD, BAD = Outcome(True), Outcome(False, "no")


class Stage:
    """One running container; `answers` by the probe's `periodSeconds`, which names it here."""

    def __init__(self, **probes: Obj) -> None:
        self.view = up(make_view("web"))
        (self.web,) = self.view.app
        self.web.spec.update({f"{kind}Probe": probe for kind, probe in probes.items()})
        podviews.run(self.web)
        self.answers: dict[int, Outcome] = {}
        self.said: list[tuple[str, str]] = []
        self.counters = Counters()
        self.woken = 0
        parts = SimpleNamespace(prober=self, counters=self.counters)
        self.health = Health(cast(Any, parts), self.view, self._say, self._wake)

    def question(self, target: Any, probe: Obj) -> Any:
        stage, period = self, probe["periodSeconds"]

        class Asked:
            def ask(self, done: Done) -> Cancel:
                done(stage.answers.get(period, GOOD))
                return lambda: None

        return Asked()

    def _say(self, kind: str, reason: str, message: str, container: ContainerView | None = None) -> None:
        self.said.append((reason, message))

    def _wake(self) -> None:
        self.woken += 1

    async def watch(self, *, adopted: bool = False) -> None:
        assert self.web.record is not None
        self.health.watch(self.web, self.web.record, adopted=adopted)
        await asyncio.sleep(0.01)


async def test_without_probes_it_is_well() -> None:
    stage = Stage()
    await stage.watch()
    assert (stage.web.started, stage.web.ready, stage.said) == (True, True, [])
    stage.health.close()


async def test_ready_by_its_probe() -> None:
    stage = Stage(readiness={"periodSeconds": 11})
    await stage.watch()
    assert (stage.web.started, stage.web.ready, stage.woken) == (True, True, 1)
    (entry,) = stage.counters.probes
    assert (entry.kind, entry.result, entry.container) == ("readiness", "successful", "web")
    stage.health.close()


async def test_not_even_started() -> None:
    stage = Stage(startup={"periodSeconds": 11}, readiness={"periodSeconds": 12})
    stage.answers[11] = BAD
    await stage.watch()
    assert (stage.web.started, stage.web.ready) == (False, False)
    assert stage.said == [("Unhealthy", "Startup probe failed: no")]
    stage.health.close()


@pytest.mark.parametrize("grace", [None, 7])
async def test_a_failed_liveness_probe_condemns_it(grace: int | None) -> None:
    probe: Obj = {"periodSeconds": 11, "failureThreshold": 1}
    if grace is not None:
        probe["terminationGracePeriodSeconds"] = grace
    stage = Stage(liveness=probe)
    stage.answers[11] = BAD
    await stage.watch()
    assert stage.web.unhealthy == "Container web failed liveness probe, will be restarted"
    assert stage.web.unhealthy_grace_s == grace
    assert stage.said == [("Unhealthy", "Liveness probe failed: no")]
    stage.health.close()


async def test_warnings_have_a_reason_of_their_own() -> None:
    stage = Stage(readiness={"periodSeconds": 11})
    stage.answers[11] = Outcome(True, "moved", warning=True)
    await stage.watch()
    assert stage.web.ready and stage.said == [("ProbeWarning", "Readiness probe warning: moved")]
    stage.health.close()


async def test_what_was_known_of_an_adopted_container_stands() -> None:
    stage = Stage(readiness={"periodSeconds": 11}, liveness={"periodSeconds": 12})
    stage.web.started = stage.web.ready = True
    stage.answers[11] = stage.answers[12] = BAD
    await stage.watch(adopted=True)
    assert (stage.web.ready, stage.web.unhealthy, stage.woken) == (True, "", 0)
    stage.health.close()


async def test_of_one_that_was_told_to_stop_only_readiness_matters() -> None:
    stage = Stage(readiness={"periodSeconds": 11}, liveness={"periodSeconds": 12})
    await stage.watch()
    stage.health.ending(stage.web)
    probes = stage.health._probes["web"]
    assert probes.has(READINESS) and not probes.has(LIVENESS)
    stage.health.ended(stage.web)
    assert not probes.has(READINESS)
    stage.health.close()
