from __future__ import annotations

from sampan.proxy.healthz import Health
from sampan.proxy.numbers import Numbers, without_local_endpoints
from sampan.proxy.table import DROP, EXTERNAL, KEEP, LOCAL, Element, Table

TABLE: Table = {
    Element("fe4", ("10.96.0.20", "tcp", 80)): (1 | LOCAL,),
    Element("np4", ("tcp", 30080)): (1 | LOCAL | EXTERNAL | KEEP,),
    Element("svc", (1 | LOCAL,)): (DROP,),
    Element("fe4", ("10.96.0.21", "tcp", 80)): (2 | LOCAL,),
    Element("svc", (2 | LOCAL,)): (1,),
    Element("fe4", ("10.96.0.22", "tcp", 80)): (3 | LOCAL,),
    Element("svc", (3 | LOCAL,)): (DROP,),
}


def test_local_policies_without_local_endpoints() -> None:
    assert without_local_endpoints(TABLE) == {"internal": 2, "external": 1}
    assert without_local_endpoints({}) == {"internal": 0, "external": 0}


def test_page_has_the_names_that_dashboards_know() -> None:
    numbers = Numbers()
    numbers.sync_s.observe(0.0004)
    numbers.programming_s.observe(0.003)
    numbers.changes["service"] += 2
    health = Health(lambda: True)
    health.page("/healthz")
    lines = numbers.page("/metrics", health, TABLE).body.decode().splitlines()
    for line in (
        'kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="0.001"} 1',
        'kubeproxy_network_programming_duration_seconds_bucket{le="0.25"} 1',
        "kubeproxy_sync_proxy_rules_service_changes_total 2",
        "kubeproxy_sync_proxy_rules_endpoint_changes_total 0",
        'kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy="internal"} 2',
        "kubeproxy_sync_proxy_rules_nftables_sync_failures_total 0",
        'kubeproxy_proxy_healthz_total{code="200"} 1',
    ):
        assert line in lines
    assert numbers.page("/", health, TABLE).status == 404
