"""What was dropped, in words."""

from __future__ import annotations

from sampan.api import prometheus
from sampan.proxy.policy.contract import Refused
from sampan.proxy.policy.drops import drops, families
from sampan.proxy.policy.model import Isolation, PodFacts
from sampan.proxy.policy.picture import Standing
from sampan.proxy.policy.wire import Count

IP = "10.0.0.2"
POD = PodFacts("uid", "shop", "web", {}, (IP,), local=True)
STANDING = Standing(POD, isolations={"ingress": Isolation(("shop/a", "shop/b"), frozenset())})


def test_the_most_refused_come_first_and_what_is_nobodys_is_left_out() -> None:
    few, many = (Refused("ingress", source, IP, "tcp", 80) for source in ("10.0.0.8", "10.0.0.9"))
    out = Refused("egress", IP, "10.0.0.9", "tcp", 80)
    lost = {few: Count(1, 60), many: Count(5, 300), out: Count(9, 540)}
    dropped = {
        ("ingress", IP): Count(6, 360),
        ("egress", IP): Count(9, 1),
        ("ingress", "10.0.0.7"): Count(1, 1),
    }
    (drop,) = drops({IP: STANDING}, dropped, lost)  # type: ignore[arg-type]
    assert (drop.pod, drop.uid, drop.address, drop.direction) == ("shop/web", "uid", IP, "ingress")
    assert (drop.packets, drop.bytes) == (6, 360)
    assert drop.refused == ((many, 5), (few, 1))


def test_metrics_have_a_row_for_each_policy() -> None:
    listed = drops({IP: STANDING}, {("ingress", IP): Count(6, 360)}, {})
    lines = prometheus.text(families(listed)).decode().splitlines()
    labels = 'namespace="shop",pod="web",address="10.0.0.2",direction="ingress",policy='
    assert f'sampan_networkpolicy_dropped_packets_total{{{labels}"a"}} 6' in lines
    assert f'sampan_networkpolicy_dropped_bytes_total{{{labels}"b"}} 360' in lines
