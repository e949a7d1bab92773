"""The flows of a relay; that pings go there and back is shown in test_egress."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from sampan.kubelet.network import icmprelay
from sampan.kubelet.network.fake import Here
from sampan.kubelet.network.icmprelay import Flow, Heard, IcmpRelay

FAR = ip_address("198.51.100.9")


def flow(client: str, ident: int) -> Flow:
    return Flow(ip_address(client), FAR, ident)


def relay_of(monkeypatch: pytest.MonkeyPatch, most: int = 9, of_one: int = 9) -> IcmpRelay:
    monkeypatch.setattr(icmprelay, "MOST_FLOWS", most)
    monkeypatch.setattr(icmprelay, "MOST_OF_ONE_CLIENT", of_one)
    return IcmpRelay(Here(), 4, ip_address("100.64.0.2"), ())


async def test_flows_of_one_client_do_not_crowd_out_others(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = relay_of(monkeypatch, most=5, of_one=3)
    for client, ident in [("10.0.0.1", 0), *(("10.0.0.2", ident) for ident in range(5))]:
        relay._begin(flow(client, ident))
    assert [each.ident for each in relay._flows if each.client == ip_address("10.0.0.2")] == [2, 3, 4]
    assert flow("10.0.0.1", 0) in relay._flows
    for ident in range(2):
        relay._begin(flow("10.0.0.3", ident))
    assert len(relay) == 5 and flow("10.0.0.1", 0) not in relay._flows
    assert sorted(relay._flows.values()) == sorted(relay._by_ident)
    relay.close()
    assert not relay and not relay._by_ident and not relay._by_client


async def test_the_one_unused_for_longest_goes_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = relay_of(monkeypatch)
    for ident in (1, 2):
        relay._begin(flow("10.0.0.1", ident))
        relay._use(flow("10.0.0.1", ident))
    relay._use(flow("10.0.0.1", 1))
    relay._used_s[flow("10.0.0.1", 2)] -= icmprelay.IDLE_S + 1
    relay._flows.move_to_end(flow("10.0.0.1", 2), last=False)
    relay._expire()
    assert list(relay._flows) == [flow("10.0.0.1", 1)] and relay._timer is not None
    relay.close()
    assert relay._timer is None


async def test_identifiers_are_never_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = relay_of(monkeypatch)
    relay._next = 0xFFFE
    assert [relay._begin(flow("10.0.0.1", ident)) for ident in range(3)] == [0xFFFF, 1, 2]
    relay._next = 0
    assert relay._begin(flow("10.0.0.1", 3)) == 3
    relay.close()


@pytest.mark.parametrize("message", [b"", b"\x08\0", b"\0" * 8, b"\x0d\0\0\0\0\x01\0\0", b"\x03" + bytes(40)])
async def test_what_is_no_request_is_nobodys(monkeypatch: pytest.MonkeyPatch, message: bytes) -> None:
    relay = relay_of(monkeypatch)
    relay._asked(Heard(ip_address("10.0.0.1"), FAR, 64, message))
    relay._answered(Heard(FAR, ip_address("10.0.0.1"), 64, message))
    assert not relay
