from __future__ import annotations

from sampan.kubelet.network.devices import Link
from sampan.kubelet.network.uplink import is_joined


def test_two_ends_of_one_veth() -> None:
    here, there = Link(7, "a", 9, ""), Link(9, "b", 7, "")
    assert is_joined(here, there)
    assert not is_joined(here, Link(9, "b", 8, ""))
    assert not is_joined(here, None)
    assert not is_joined(None, None)
