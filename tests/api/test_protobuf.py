from __future__ import annotations

from typing import Any

import orjson
import pytest

from sampan.api import protobuf
from sampan.api.errors import StatusError


def field(number: int, value: bytes | int | str) -> bytes:
    """One field on the wire: a varint, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    data = b""
    while value > 127:
        data += bytes((value & 127 | 128,))
        value >>= 7
    return data + bytes((value,))


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\0" + field(1, field(1, api_version) + field(2, kind)) + field(2, raw)


def read(api_version: str, kind: str, raw: bytes) -> Any:
    return orjson.loads(protobuf.to_json(envelope(api_version, kind, raw), (api_version, kind)))


def test_a_config_map() -> None:
    raw = field(1, field(1, "a") + field(3, "default")) + field(2, field(1, "k") + field(2, "v"))
    assert read("v1", "ConfigMap", raw) == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": "a", "namespace": "default"},
        "data": {"k": "v"},
    }


def test_zero_values_that_go_peers_always_send_are_dropped() -> None:
    empty = field(1, "a") + field(2, "") + field(3, "") + field(5, "") + field(7, 0) + field(8, b"")
    assert read("v1", "ConfigMap", field(1, empty))["metadata"] == {"name": "a"}


def test_inlined_messages_and_special_types() -> None:
    # a Service: ports[].targetPort is IntOrString (4), a Pod: volumes[].volumeSource is inline (2)
    port = field(3, 80) + field(4, field(1, 0) + field(2, 8080))
    named = field(3, 81) + field(4, field(1, 1) + field(3, "http"))
    service = read("v1", "Service", field(2, field(1, port) + field(1, named)))
    assert [item["targetPort"] for item in service["spec"]["ports"]] == [8080, "http"]
    volume = field(1, "v") + field(2, field(2, field(1, "Memory")))
    pod = read("v1", "Pod", field(2, field(1, volume)))
    assert pod["spec"]["volumes"] == [{"name": "v", "emptyDir": {"medium": "Memory"}}]


def test_negative_numbers() -> None:
    assert read("scheduling.k8s.io/v1", "PriorityClass", field(2, -5))["value"] == -5


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"k8s\0\xff", b"k8s\0" + field(2, b"\xff\xff"), envelope("v1", "Pod", field(1, 7))],
)
def test_what_is_no_message_is_a_bad_request(data: bytes) -> None:
    with pytest.raises(StatusError) as caught:
        protobuf.to_json(data, ("v1", "Pod"))
    assert caught.value.code == 400


def test_a_kind_without_numbers_is_to_be_sent_as_json() -> None:
    with pytest.raises(StatusError) as caught:
        read("example.com/v1", "Widget", b"")
    assert caught.value.code == 415
