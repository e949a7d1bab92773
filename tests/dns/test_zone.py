"""What the zone answers: the Kubernetes DNS specification, question by question."""

from typing import Any

import pytest

from sampan.dns import wire
from sampan.dns.records import Naming
from sampan.dns.zone import Zone, ZonePlan, reverse_zones

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
    zone = Zone(ZonePlan(Naming(), ["10.96.0.10"], ["10.96.0.0/16", "fd00:96::/112"]))
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
        ("svc.cluster.local", wire.A, wire.NOERROR),
        ("pod.cluster.local", wire.A, wire.NOERROR),
        ("shop.pod.cluster.local", wire.A, wire.NOERROR),
        ("dns.cluster.local", wire.A, wire.NOERROR),
        ("any.thing.cluster.local", wire.A, wire.NXDOMAIN),
        ("*.shop.svc.cluster.local", wire.A, wire.NXDOMAIN),
        ("web.*.svc.cluster.local", wire.A, wire.NXDOMAIN),
        ("_http._tcp.web.shop.svc.cluster.local", wire.A, wire.NOERROR),
        ("_http._udp.web.shop.svc.cluster.local", wire.SRV, wire.NXDOMAIN),
        ("_nope._tcp.web.shop.svc.cluster.local", wire.SRV, wire.NXDOMAIN),
        ("10-244-0-7.db.shop.svc.cluster.local", wire.A, wire.NXDOMAIN),
        ("10-244-0-9.shop.pod.cluster.local", wire.AAAA, wire.NOERROR),
        ("nonsense.shop.pod.cluster.local", wire.A, wire.NXDOMAIN),
        ("x.10-244-0-9.shop.pod.cluster.local", wire.A, wire.NXDOMAIN),
        ("web.shop.svc.cluster.local", 65, wire.NOERROR),
        ("9.9.96.10.in-addr.arpa", wire.PTR, wire.NXDOMAIN),
        ("0.96.10.in-addr.arpa", wire.PTR, wire.NOERROR),
        ("7.0.96.10.in-addr.arpa", wire.A, wire.NOERROR),
        ("1-2-3-4.gone.pod.cluster.local", wire.A, wire.NXDOMAIN),
    ],
)
def test_no_comes_with_a_soa_and_the_right_kind_of_no(zone: Zone, name: str, kind: int, rcode: int) -> None:
    answer = zone.lookup(name, kind)
    assert (answer.rcode, list(answer.answers)) == (rcode, [])
    assert [record.type for record in answer.authority] == [wire.SOA]


def test_a_pod_name_holds_its_address(zone: Zone) -> None:
    assert ips(zone.lookup("10-244-0-9.shop.pod.cluster.local", wire.A)) == {"10.244.0.9"}


def test_a_pod_name_may_hold_an_address_of_the_other_family(zone: Zone) -> None:
    answer = zone.lookup("fd00-10--7.shop.pod.cluster.local", wire.AAAA)
    assert [record.data for record in answer.answers] == [wire.address_data("fd00:10::7")[1]]


def test_pods_are_verified_or_have_no_names_if_that_is_wanted() -> None:
    there = {("shop", "10.244.0.9")}
    verified = Zone(ZonePlan(has_pod=lambda namespace, ip: (namespace, ip) in there))
    none = Zone(ZonePlan(pods=False))
    for zone in (verified, none):
        zone.set_namespace("shop", present=True)
    assert ips(verified.lookup("10-244-0-9.shop.pod.cluster.local", wire.A)) == {"10.244.0.9"}
    assert verified.lookup("10-244-0-8.shop.pod.cluster.local", wire.A).rcode == wire.NXDOMAIN
    assert none.lookup("10-244-0-9.shop.pod.cluster.local", wire.A).rcode == wire.NXDOMAIN


def test_the_apex_says_who_answers(zone: Zone) -> None:
    (soa,) = zone.lookup("cluster.local", wire.SOA).answers
    assert soa.data.startswith(wire.encode_name("ns.dns.cluster.local"))
    answer = zone.lookup("cluster.local", wire.NS)
    assert [record.data for record in answer.answers] == [wire.encode_name("ns.dns.cluster.local")]
    assert [record.data for record in answer.additional] == [bytes((10, 96, 0, 10))]
    assert ips(zone.lookup("ns.dns.cluster.local", wire.A)) == {"10.96.0.10"}
    assert zone.lookup("96.10.in-addr.arpa", wire.SOA).answers[0].name == "96.10.in-addr.arpa"


def test_the_version_of_the_specification(zone: Zone) -> None:
    assert zone.lookup("dns-version.cluster.local", wire.TXT).answers[0].data == b"\x051.1.0"


def test_a_name_has_the_families_that_the_service_has(zone: Zone) -> None:
    spec = {**WEB["spec"], "clusterIPs": ["10.96.0.7", "fd00:96::7"]}
    zone.set_service("shop/web", {**WEB, "spec": spec})
    assert ips(zone.lookup("web.shop.svc.cluster.local", wire.A)) == {"10.96.0.7"}
    (six,) = zone.lookup("web.shop.svc.cluster.local", wire.AAAA).answers
    assert six.data == wire.address_data("fd00:96::7")[1]
    (back,) = zone.lookup(wire.reverse_name("fd00:96::7"), wire.PTR).answers
    assert back.data == wire.encode_name("web.shop.svc.cluster.local")
    assert len(zone.lookup("_http._tcp.web.shop.svc.cluster.local", wire.SRV).additional) == 2


def test_slices_of_two_families_are_one_name(zone: Zone) -> None:
    six = {**db_slice({"addresses": ["fd00:10::5"], "hostname": "db-0"}), "addressType": "IPv6"}
    zone.set_slice("shop/db-y", None, {**six, "metadata": {**six["metadata"], "name": "db-y"}})
    assert ips(zone.lookup("db-0.db.shop.svc.cluster.local", wire.A)) == {"10.244.0.5"}
    assert len(zone.lookup("db-0.db.shop.svc.cluster.local", wire.AAAA).answers) == 1
    ports = zone.lookup("_sql._tcp.db.shop.svc.cluster.local", wire.SRV).answers
    assert len(ports) == 2, "one for each name, however many addresses it has"


def alias(name: str, target: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop"}
    return {"metadata": metadata, "spec": {"type": "ExternalName", "externalName": target}}


def test_aliases_are_followed_to_their_end(zone: Zone) -> None:
    zone.set_service("shop/a", alias("a", "B.shop.svc.cluster.local."))
    zone.set_service("shop/b", alias("b", "web.shop.svc.cluster.local"))
    answer = zone.lookup("a.shop.svc.cluster.local", wire.A)
    assert [record.type for record in answer.answers] == [wire.CNAME, wire.CNAME, wire.A]
    zone.set_service("shop/b", alias("b", "gone.shop.svc.cluster.local"))
    answer = zone.lookup("a.shop.svc.cluster.local", wire.A)
    assert (answer.rcode, len(answer.answers), len(answer.authority)) == (wire.NXDOMAIN, 2, 1)
    zone.set_service("shop/b", alias("b", "out.example.com"))
    assert zone.lookup("a.shop.svc.cluster.local", wire.A).leads_to == "out.example.com"
    assert len(zone.lookup("a.shop.svc.cluster.local", wire.CNAME).answers) == 1


def test_aliases_in_a_circle_end(zone: Zone) -> None:
    zone.set_service("shop/a", alias("a", "b.shop.svc.cluster.local"))
    zone.set_service("shop/b", alias("b", "a.shop.svc.cluster.local"))
    assert zone.lookup("a.shop.svc.cluster.local", wire.A).rcode == wire.NOERROR


def test_names_that_no_message_can_hold_are_left_out(zone: Zone) -> None:
    long = {**WEB["spec"], "ports": [{"name": "p" * 63, "port": 80, "protocol": "TCP"}]}
    zone.set_service("shop/web", {**WEB, "spec": long})
    zone.set_service("shop/a", alias("a", "a" * 70 + ".example.com"))
    assert ips(zone.lookup("web.shop.svc.cluster.local", wire.A)) == {"10.96.0.7"}
    assert zone.lookup("a.shop.svc.cluster.local", wire.A).rcode == wire.NXDOMAIN


@pytest.mark.parametrize(
    ("cidr", "zones"),
    [
        ("10.96.0.0/16", ["96.10.in-addr.arpa"]),
        ("10.244.4.0/23", ["4.244.10.in-addr.arpa", "5.244.10.in-addr.arpa"]),
        ("fd00:96::/112", [".".join("0" * 20 + "690000df") + ".ip6.arpa"]),
    ],
)
def test_reverse_zones_of_a_network(cidr: str, zones: list[str]) -> None:
    assert reverse_zones(cidr) == zones


class Told:
    """Which of some names an answer was kept for would have to be forgotten."""

    def __init__(self, zone: Zone) -> None:
        self.names: set[str] = set()
        zone.changed = self.names.update


def test_who_kept_an_answer_is_told_when_it_is_no_longer_true(zone: Zone) -> None:
    """All questions, before and after each change: what differs was announced, by its own name or another."""
    names = [*zone._names, *zone._below, "new.shop.svc.cluster.local"]
    names += ["b.shop.svc.cluster.local", "1-2-3-4.shop.pod.cluster.local", "8.0.96.10.in-addr.arpa"]
    changed = {**WEB, "spec": {**WEB["spec"], "clusterIP": "10.96.0.8", "clusterIPs": ["10.96.0.8"]}}
    steps = [
        lambda: zone.set_service("shop/b", alias("b", "web.shop.svc.cluster.local")),
        lambda: zone.set_service("shop/web", changed),
        lambda: zone.set_service("shop/new", {**WEB, "metadata": {"name": "new", "namespace": "shop"}}),
        lambda: zone.set_slice("shop/db-x", db_slice(), db_slice({"addresses": ["10.244.0.9"]})),
        lambda: zone.set_service("shop/web", None),
        lambda: zone.set_slice("shop/db-x", db_slice(), None),
        lambda: zone.set_namespace("shop", present=False),
    ]
    questions = [(name, kind) for name in names for kind in (wire.A, wire.SRV, wire.PTR, wire.CNAME, wire.NS)]
    for step in steps:
        before = {asked: zone.lookup(*asked) for asked in questions}
        told = Told(zone)
        step()
        for asked in questions:
            after = zone.lookup(*asked)
            was = before[asked]
            # The serial in a denial's SOA is not worth forgetting it for.
            if (was.rcode, was.answers, was.additional) != (after.rcode, after.answers, after.additional):
                assert told.names & {asked[0], *was.rests_on}, (asked, was, after)


def test_names_go_with_the_service(zone: Zone) -> None:
    zone.set_service("shop/web", None)
    assert zone.lookup("web.shop.svc.cluster.local", wire.A).rcode == wire.NXDOMAIN
    assert zone.lookup("7.0.96.10.in-addr.arpa", wire.PTR).rcode == wire.NXDOMAIN
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
