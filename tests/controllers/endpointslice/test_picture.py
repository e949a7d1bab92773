"""A picture that is kept says what one made anew would say."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.api.objects import Obj
from sampan.controllers.endpointslice.endpoints import desired
from sampan.controllers.endpointslice.picture import Picture

ZONES = {"n1": "z1", "n2": ""}
SERVICE: Obj = {
    "metadata": {"name": "web", "namespace": "default", "uid": "s"},
    "spec": {
        "selector": {"app": "web"},
        "ipFamilies": ["IPv4", "IPv6"],
        "ports": [{"name": "http", "port": 80, "targetPort": "web"}],
    },
}


def pod(number: int, ready: bool, port: int, node: str, ips: list[str], phase: str) -> Obj:
    container = {"name": "c", "ports": [{"name": "web", "containerPort": port}] if port else []}
    return {
        "metadata": {"name": f"p{number}", "namespace": "default", "uid": f"u{number}"},
        "spec": {"nodeName": node, "containers": [container]},
        "status": {
            "phase": phase,
            "podIPs": [{"ip": ip} for ip in ips],
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


states: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "ready": st.booleans(),
        "port": st.sampled_from([0, 80, 81]),
        "node": st.sampled_from(["n1", "n2", "gone"]),
        "ips": st.sampled_from([[], ["10.0.0.1"], ["fd00::1"], ["10.0.0.1", "fd00::1"]]),
        "phase": st.sampled_from(["Running", "Failed"]),
    }
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.none() | states), max_size=30))
def test_the_same_as_one_made_anew(history: list[tuple[int, dict[str, Any] | None]]) -> None:
    picture, pods = Picture(SERVICE, ZONES), dict[str, Obj]()
    for number, state in history:
        key = f"default/p{number}"
        picture.stale.add(key)
        if state is None:
            pods.pop(key, None)
            picture.put(key, None)
        else:
            pods[key] = pod(number, **state)
            picture.put(key, pods[key])
        assert picture.desired() == desired(SERVICE, pods.values(), ZONES)
        assert len(picture) == len(pods)
        assert not picture.stale
