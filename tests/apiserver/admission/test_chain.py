from __future__ import annotations

import pytest

from sampan.api.objects import Obj
from sampan.api.request import Request, UserInfo
from sampan.api.resources import NODES, PODS
from sampan.apiserver.admission.chain import Admission
from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.registry.hooks import Call, Undo
from sampan.apiserver.watchcache import Hub
from sampan.store.memory import MemoryStore

HUB = Hub(MemoryStore())
POD: Obj = {"metadata": {"name": "a"}}


class _Counts(Plugin):
    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.held = 0

    async def mutate(self, call: Call, new: Obj, old: Obj | None) -> None:
        new["by"] = [*new.get("by", ()), type(self).__name__]
        call.warnings.append("counted")

    def reserve(self, call: Call, new: Obj, old: Obj | None) -> Undo | None:
        self.held += 1
        return self._release

    def _release(self) -> None:
        self.held -= 1


class _Last(_Counts):
    def reserve(self, call: Call, new: Obj, old: Obj | None) -> Undo | None:
        raise ValueError


def call() -> Call:
    return Call(UserInfo("u"), Request("create", PODS, "default"), HUB)


async def test_plugins_are_asked_in_order_and_may_warn() -> None:
    asked, new = call(), dict(POD)
    await Admission(HUB, {PODS: (_Counts, _Last)}).mutate(asked, new, None)
    assert new["by"] == ["_Counts", "_Last"] and asked.warnings == ["counted", "counted"]
    await Admission(HUB, {NODES: (_Counts,)}).mutate(asked, other := dict(POD), None)
    assert other == POD


def test_what_was_reserved_is_given_back() -> None:
    admission = Admission(HUB, {PODS: (_Counts,)})
    (plugin,) = admission._plugins[PODS]
    undo = admission.reserve(call(), POD, None)
    assert plugin.held == 1
    undo()
    assert plugin.held == 0


def test_a_refusal_gives_back_what_others_reserved() -> None:
    admission = Admission(HUB, {PODS: (_Counts, _Last)})
    plugin = admission._plugins[PODS][0]
    with pytest.raises(ValueError):
        admission.reserve(call(), POD, None)
    assert plugin.held == 0
