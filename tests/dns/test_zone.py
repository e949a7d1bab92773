"""What the zone answers: the Kubernetes DNS specification, question by question."""

from typing import Any

import pytest

from sampan.dns import wire
from sampan.dns.zone import Zone

WEB = {
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "type": "ClusterIP",
        "clusterIP": "10.96.0.7",
        "clusterIPs": ["10.96.0.7"],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}, {"port": 9, "protocol": "UDP"}],
    },
}
DB = {
    "metadata": {"name": "db", "namespace": "shop"},
    "spec": {"type": "ClusterIP", "clusterIP": "None", "ports": [{"name": "sql", "port": 5432}]},
}


def db_slice(*endpoints: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"name": "db-x", "namespace": "shop", "labels": {"kubernetes.io/service-name": "db"}},
        "addressType": "IPv4",
        "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


@pytest.fixture
def zone() -> Zone:
    zone = Zone()
    zone.set_namespace("shop", present=True)
    zone.set_service("shop/web", WEB)
    zone.set_service("shop/db", DB)
    zone.set_slice(
        "shop/db-x",
        None,
        db_slice(
            {"addresses": ["10.244.0.5"], "hostname": "db-0", "conditions": {"ready": True}},
            {"addresses": ["10.244.0.6"], "conditions": {}},
            {"addresses": ["10.244.0.7"], "conditions": {"ready": False}},
        ),
    )
    return zone


def ips(answer: Any) -> set[str]:
    return {".".join(map(str, record.data)) for record in answer.answers if record.type == wire.A}


def test_a_service_has_its_cluster_ip(zone: Zone) -> None:
    assert ips(zone.lookup("web.shop.svc.cluster.local", wire.A)) == {"10.96.0.7"}


def test_a_headless_service_has_its_ready_pods(zone: Zone) -> None:
    assert ips(zone.lookup("db.shop.svc.cluster.local", wire.A)) == {"10.244.0.5", "10.244.0.6"}


def test_endpoints_have_names_of_their_own(zone: Zone) -> None:
    assert ips(zone.lookup("db-0.db.shop.svc.cluster.local", wire.A)) == {"10.244.0.5"}
    assert ips(zone.lookup("10-244-0-6.db.shop.svc.cluster.local", wire.A)) == {"10.244.0.6"}


def test_srv_names_port_and_target_and_sends_the_address_along(zone: Zone) -> None:
    answer = zone.lookup("_http._tcp.web.shop.svc.cluster.local", wire.SRV)
    assert answer.answers[0].data == wire.srv_data(80, "web.shop.svc.cluster.local")
    assert answer.additional[0].data == bytes((10, 96, 0, 7))
    headless = zone.lookup("_sql._tcp.db.shop.svc.cluster.local", wire.SRV)
    assert wire.srv_data(5432, "db-0.db.shop.svc.cluster.local") in [r.data for r in headless.answers]


def test_ptr_leads_back(zone: Zone) -> None:
    assert zone.holds("7.0.96.10.in-addr.arpa")
    answer = zone.lookup("7.0.96.10.in-addr.arpa", wire.PTR)
    assert answer.answers[0].data == wire.encode_name("web.shop.svc.cluster.local")
    assert not zone.holds("8.8.8.8.in-addr.arpa")


@pytest.mark.parametrize(
    ("name", "kind", "rcode"),
    [
        ("nope.shop.svc.cluster.local", wire.A, wire.NXDOMAIN),
        ("web.shop.svc.cluster.local", wire.AAAA, wire.NOERROR),
        ("_tcp.web.shop.svc.cluster.local", wire.A, wire.NOERROR),
        ("shop.svc.cluster.local", wire.A, wire.NOERROR),
        ("gone.svc.cluster.local", wire.A, wire.NXDOMAIN),
        ("cluster.local", wire.A, wire.NOERROR),
        ("1-2-3-4.gone.pod.cluster.local", wire.A, wire.NXDOMAIN),
    ],
)
def test_no_comes_with_a_soa_and_the_right_kind_of_no(zone: Zone, name: str, kind: int, rcode: int) -> None:
    answer = zone.lookup(name, kind)
    assert (answer.rcode, list(answer.answers)) == (rcode, [])
    assert [record.type for record in answer.authority] == [wire.SOA]


def test_a_pod_name_holds_its_address(zone: Zone) -> None:
    assert ips(zone.lookup("10-244-0-9.shop.pod.cluster.local", wire.A)) == {"10.244.0.9"}


def test_names_go_with_the_service(zone: Zone) -> None:
    zone.set_service("shop/web", None)
    assert zone.lookup("web.shop.svc.cluster.local", wire.A).rcode == wire.NXDOMAIN
    assert not zone.holds("7.0.96.10.in-addr.arpa")
    zone.set_slice("shop/db-x", db_slice(), None)
    zone.set_service("shop/db", None)
    zone.set_namespace("shop", present=False)
    assert zone.lookup("shop.svc.cluster.local", wire.A).rcode == wire.NXDOMAIN


def test_a_slice_before_its_service_is_not_lost() -> None:
    zone = Zone()
    zone.set_slice("shop/db-x", None, db_slice({"addresses": ["10.244.0.5"]}))
    zone.set_service("shop/db", DB)
    assert ips(zone.lookup("db.shop.svc.cluster.local", wire.A)) == {"10.244.0.5"}


def test_external_name_is_an_alias() -> None:
    zone = Zone()
    service = {
        "metadata": {"name": "out", "namespace": "shop"},
        "spec": {"type": "ExternalName", "externalName": "db.example.com"},
    }
    zone.set_service("shop/out", service)
    answer = zone.lookup("out.shop.svc.cluster.local", wire.A)
    assert answer.leads_to == "db.example.com"
    assert [record.type for record in answer.answers] == [wire.CNAME]


def test_two_headless_services_share_a_pod_and_its_ptr(zone: Zone) -> None:
    other = {**DB, "metadata": {"name": "db2", "namespace": "shop"}}
    slice_ = db_slice({"addresses": ["10.244.0.5"], "hostname": "db-0"})
    slice_ = {**slice_, "metadata": {**slice_["metadata"], "labels": {"kubernetes.io/service-name": "db2"}}}
    zone.set_service("shop/db2", other)
    zone.set_slice("shop/db2-x", None, slice_)
    assert len(zone.lookup("5.0.244.10.in-addr.arpa", wire.PTR).answers) == 2
    zone.set_service("shop/db2", None)
    assert len(zone.lookup("5.0.244.10.in-addr.arpa", wire.PTR).answers) == 1
