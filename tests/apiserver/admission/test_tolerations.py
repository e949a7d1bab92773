from __future__ import annotations

from sampan.api.resources import PODS


async def test_a_pod_stays_five_minutes_on_a_lost_node_unless_it_says_otherwise(api, pod) -> None:
    made = (await api.create(PODS, pod("a")))["spec"]["tolerations"]
    assert [(item["key"], item["tolerationSeconds"]) for item in made] == [
        ("node.kubernetes.io/not-ready", 300),
        ("node.kubernetes.io/unreachable", 300),
    ]
    body = pod("b")
    body["spec"]["tolerations"] = [{"operator": "Exists"}]
    assert (await api.create(PODS, body))["spec"]["tolerations"] == [{"operator": "Exists"}]
