from __future__ import annotations

import pytest

from sampan.api.request import Request, UserInfo
from sampan.api.resources import PODS
from sampan.apiserver.admission.plugin import CREATE, UPDATE, Plugin, denied, refused
from sampan.apiserver.registry.hooks import Call
from sampan.apiserver.watchcache import Hub
from sampan.store.memory import MemoryStore

HUB = Hub(MemoryStore())


def call(subresource: str = "") -> Call:
    return Call(UserInfo("u"), Request("create", PODS, "default", "a", subresource), HUB)


class _Everywhere(Plugin):
    operations = frozenset({CREATE, UPDATE})
    subresources = frozenset({"", "status"})


@pytest.mark.parametrize(
    ("kind", "subresource", "old", "concerned"),
    [
        (Plugin, "", None, True),
        (Plugin, "", {}, False),
        (Plugin, "status", {}, False),
        (_Everywhere, "", {}, True),
        (_Everywhere, "status", {}, True),
        (_Everywhere, "binding", {}, False),
    ],
)
def test_a_plugin_is_asked_for_what_it_names(kind, subresource, old, concerned) -> None:
    assert kind(HUB).concerns(call(subresource), old) is concerned


def test_a_refusal_names_the_object_as_its_author_did() -> None:
    made_up = {"metadata": {"name": "web-x2x4x", "generateName": "web-"}}
    assert refused(call(), made_up, "no").message == 'pods "web-" is forbidden: no'
    assert denied(call(), made_up, "no").message == 'pods "web-x2x4x" is forbidden: no'
    assert refused(call(), {"metadata": {"name": "a"}}, "no").message == 'pods "a" is forbidden: no'
