"""What a class grants to an identity."""

from __future__ import annotations

from sampan.proxy.policy.model import ANYONE, ANYTHING, EVERY_POD, Block, Grant, NamedPort, Ports
from sampan.proxy.policy.pairing import Allowed, PodsIn, PortName, class_of, pair, range_of, terms_of

NET = Block("10.0.0.0/8")
HTTP = Ports("tcp", 80, 80)
WEB = Ports("tcp", name="web")


def allowed(*grants: Grant, key: frozenset[object]) -> Allowed:
    return pair(class_of(grants), key)  # type: ignore[arg-type]


def test_grants_to_terms_of_the_identity_add_up() -> None:
    found = allowed(
        Grant(EVERY_POD, HTTP),
        Grant(NET, Ports("udp", 53, 60)),
        Grant(NET, Ports("sctp")),
        Grant(ANYONE, Ports("tcp", 9, 9)),
        key=frozenset({EVERY_POD, NET}),
    )
    assert found.elements == {("allow", ("tcp", 80)), ("protos", ("sctp",))}
    assert found.ranges == {("udp", 53, 60)}


def test_what_allows_everything_is_one_element() -> None:
    found = allowed(Grant(NET, HTTP), Grant(NET, ANYTHING), key=frozenset({NET}))
    assert found == Allowed(frozenset({("peers", ())}), frozenset())


def test_all_ports_are_no_range() -> None:
    whole = Ports("tcp", 1, 65535)
    assert range_of(whole) is None and range_of(HTTP) is None
    assert range_of(Ports("tcp", 2, 65535)) == ("tcp", 2, 65535)
    assert allowed(Grant(NET, whole), key=frozenset({NET})).elements == {("protos", ("tcp",))}


def test_a_named_port_is_what_the_destination_has_by_the_name() -> None:
    grant = Grant(EVERY_POD, WEB)
    two = frozenset({EVERY_POD, NamedPort("web", "tcp", 80), NamedPort("web", "tcp", 81)})
    assert allowed(grant, key=two).elements == {("allow", ("tcp", 80)), ("allow", ("tcp", 81))}
    other = frozenset({EVERY_POD, NamedPort("web", "udp", 80), NamedPort("dns", "tcp", 53)})
    assert allowed(grant, key=other).elements == frozenset()


def test_a_named_port_in_a_block_is_one_of_pods_there() -> None:
    grant = Grant(NET, WEB)
    assert list(terms_of(grant, "egress")) == [PodsIn(NET), PortName("web", "tcp")]
    assert list(terms_of(Grant(NET, HTTP), "egress")) == [NET]
    there = frozenset({PodsIn(NET), NamedPort("web", "tcp", 80)})
    assert allowed(grant, key=there).elements == {("allow", ("tcp", 80))}
    assert allowed(grant, key=frozenset({NET})).elements == frozenset()
