"""Tokens are asked for once, renewed in time, and kept while the server has none."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sampan.api.clock import format_time
from sampan.api.errors import StatusError, unavailable
from sampan.api.objects import Obj
from sampan.kubelet.volumes import tokens
from sampan.kubelet.volumes.tokens import Tokens

POD: Obj = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"serviceAccountName": "sa"}}
KEY = ("aud", 3600)


class Server:
    """What Tokens needs of a client."""

    def __init__(self) -> None:
        self.asked: list[Obj] = []
        self.fault: StatusError | None = None

    async def create(self, resource: Any, request: Obj, **where: str) -> Obj:
        self.asked.append({**request["spec"], **where})
        if self.fault is not None:
            raise self.fault
        expires = format_time(Clock.now_s + request["spec"]["expirationSeconds"])
        return {"status": {"token": f"t{len(self.asked)}", "expirationTimestamp": expires}}


class Clock:
    now_s = 1_000_000.0


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> tuple[Server, Tokens]:
    Clock.now_s = float(int(time.time()))
    monkeypatch.setattr(tokens.time, "time", lambda: Clock.now_s)
    server = Server()
    return server, Tokens(server)  # type: ignore[arg-type]


async def test_bound_to_the_pod_and_asked_for_once(rig: tuple[Server, Tokens]) -> None:
    server, found = rig
    assert await found.of(POD, [KEY]) == await found.of(POD, [KEY]) == {KEY: "t1"}
    (request,) = server.asked
    assert request["boundObjectRef"] == {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
    assert (request["audiences"], request["expirationSeconds"], request["name"]) == (["aud"], 3600, "sa")


@pytest.mark.parametrize(("lifetime_s", "age_s"), [(3600, 2880), (600, 480), (200_000, 24 * 3600)])
async def test_renewed_at_four_fifths_or_after_a_day(
    rig: tuple[Server, Tokens], lifetime_s: int, age_s: float
) -> None:
    _, found = rig
    key = ("", lifetime_s)
    await found.of(POD, [key])
    assert found.refresh_due_s("u") == Clock.now_s + age_s
    Clock.now_s += age_s - 1
    assert await found.of(POD, [key]) == {key: "t1"}
    Clock.now_s += 1
    assert await found.of(POD, [key]) == {key: "t2"}


async def test_an_old_one_does_while_the_server_has_none(rig: tuple[Server, Tokens]) -> None:
    server, found = rig
    await found.of(POD, [KEY])
    server.fault = unavailable("not now")
    Clock.now_s += 3000
    assert await found.of(POD, [KEY]) == {KEY: "t1"}
    assert found.refresh_due_s("u") == Clock.now_s + tokens.LEAST_AGE_S
    Clock.now_s += 600
    with pytest.raises(StatusError):
        await found.of(POD, [KEY])
    assert found.refresh_due_s("u") == Clock.now_s + tokens.LEAST_AGE_S, "not without pause"


async def test_forgotten_with_its_pod(rig: tuple[Server, Tokens]) -> None:
    _, found = rig
    await found.of(POD, [KEY])
    found.forget("u")
    assert found.refresh_due_s("u") is None
