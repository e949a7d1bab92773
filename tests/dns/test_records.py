"""Services and slices as records: golden sets. What a zone makes of them is tested with the zone."""

from typing import Any

import pytest

from sampan.dns import wire
from sampan.dns.records import Naming, RecordSet, service_records, slice_records

METADATA = {"name": "db", "namespace": "shop"}
NAME = "db.shop.svc.cluster.local"
HEADLESS = {"metadata": METADATA, "spec": {"type": "ClusterIP", "clusterIP": "None"}}


def slice_of(*endpoints: dict[str, Any], family: str = "IPv4", ports: Any = ()) -> dict[str, Any]:
    return {"metadata": METADATA, "addressType": family, "endpoints": list(endpoints), "ports": list(ports)}


def names(records: RecordSet) -> set[tuple[str, int]]:
    return {(name, record.type) for name, found in records.items() for record in found}


def test_everything_one_service_is_known_by() -> None:
    ports = [{"name": "sql", "port": 5432}, {"name": "log", "port": 514, "protocol": "UDP"}, {"port": 9}]
    spec = {
        "type": "ClusterIP",
        "clusterIP": "10.96.0.7",
        "clusterIPs": ["10.96.0.7", "fd00::7"],
        "ports": ports,
    }
    records = service_records({"metadata": METADATA, "spec": spec}, Naming(ttl_s=30))
    assert names(records) == {
        (NAME, wire.A),
        (NAME, wire.AAAA),
        (f"_sql._tcp.{NAME}", wire.SRV),
        (f"_log._udp.{NAME}", wire.SRV),
        ("7.0.96.10.in-addr.arpa", wire.PTR),
        (wire.reverse_name("fd00::7"), wire.PTR),
    }
    assert {record.ttl_s for found in records.values() for record in found} == {30}


@pytest.mark.parametrize(
    ("conditions", "there"),
    [
        ({}, True),
        (None, True),
        ({"ready": True, "serving": True, "terminating": False}, True),
        ({"ready": False, "serving": True, "terminating": True}, False),
        ({"ready": False}, False),
        # A Service that publishes addresses that are not ready has them marked as ready by its controller.
        ({"ready": True, "serving": False, "terminating": True}, True),
    ],
)
def test_who_is_ready_has_a_name(conditions: dict[str, bool] | None, there: bool) -> None:
    endpoint = {"addresses": ["10.244.0.5"]} | ({"conditions": conditions} if conditions is not None else {})
    assert bool(slice_records(HEADLESS, slice_of(endpoint), Naming())) is there


def test_the_first_label_of_an_endpoint() -> None:
    target = {"kind": "Pod", "name": "db-xyz"}
    for endpoint, by_pod_name, label in (
        ({"addresses": ["10.244.0.5"]}, False, "10-244-0-5"),
        ({"addresses": ["10.244.0.5"], "targetRef": target}, True, "db-xyz"),
        ({"addresses": ["10.244.0.5"], "targetRef": target, "hostname": "Db-0"}, True, "db-0"),
    ):
        records = slice_records(HEADLESS, slice_of(endpoint), Naming(by_pod_name=by_pod_name))
        assert (f"{label}.{NAME}", wire.A) in names(records)
    six = slice_records(HEADLESS, slice_of({"addresses": ["fd00::5"]}, family="IPv6"), Naming())
    assert (f"fd00--5.{NAME}", wire.AAAA) in names(six)


def test_one_record_for_what_is_told_twice() -> None:
    twice = slice_of(
        {"addresses": ["10.244.0.5"], "hostname": "db-0"},
        {"addresses": ["10.244.0.6"], "hostname": "db-0"},
        {"addresses": ["10.244.0.5"], "hostname": "db-0"},
        ports=[{"name": "sql", "port": 5432}],
    )
    records = slice_records(HEADLESS, twice, Naming())
    assert [record.type for record in records[NAME]] == [wire.A, wire.A]
    assert [record.type for record in records[f"db-0.{NAME}"]] == [wire.A, wire.A]
    assert [record.type for record in records[f"_sql._tcp.{NAME}"]] == [wire.SRV]


def test_what_has_no_names() -> None:
    virtual = {"metadata": METADATA, "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.7"}}
    endpoint = {"addresses": ["10.244.0.5"]}
    assert not slice_records(virtual, slice_of(endpoint), Naming())
    assert not slice_records(HEADLESS, slice_of({"addresses": ["a.example"]}, family="FQDN"), Naming())
    assert not service_records(HEADLESS, Naming())
