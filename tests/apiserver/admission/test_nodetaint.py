from __future__ import annotations

from sampan.api.resources import NODES

NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


async def test_a_new_node_takes_nothing_before_it_is_ready(api) -> None:
    assert (await api.create(NODES, {"metadata": {"name": "a"}}))["spec"]["taints"] == [NOT_READY]
    said = {"metadata": {"name": "b"}, "spec": {"taints": [NOT_READY]}}
    assert (await api.create(NODES, said))["spec"]["taints"] == [NOT_READY]


async def test_a_taint_that_was_taken_away_stays_away(api) -> None:
    await api.create(NODES, {"metadata": {"name": "a"}})
    await api.call("patch", NODES, "a", {"spec": {"taints": None}})
    assert "taints" not in (await api.call("get", NODES, "a"))["spec"]
