"""Identities and classes, as long as somebody uses them."""

from __future__ import annotations

from sampan.proxy.policy.elements import Elements
from sampan.proxy.policy.model import ANYONE, EVERY_POD, Block, Grant, Ports
from sampan.proxy.policy.register import Register

NET = Block("10.0.0.0/8")
HTTP, RANGE = Ports("tcp", 80, 80), Ports("tcp", 90, 99)


def names(elements: Elements) -> set[str]:
    return {element.set for element in elements.table}


def test_a_pair_is_there_while_both_are() -> None:
    elements = Elements()
    register = Register(elements)
    of_class = register.of_class("ingress", frozenset({Grant(NET, HTTP), Grant(ANYONE, Ports("udp"))}))
    register.use(of_class)
    assert names(elements) == {"protos"}, "anyone is always there"
    identity = register.identity(frozenset({NET, EVERY_POD}))
    register.use(identity)
    assert names(elements) == {"protos", "allow"}
    assert register.identity(frozenset({EVERY_POD, NET})) == identity
    register.leave(identity)
    register.let_go()
    assert names(elements) == {"protos"}
    register.leave(of_class)
    register.let_go()
    assert elements.table == {}


def test_what_is_left_and_taken_up_again_is_not_written_again() -> None:
    elements = Elements()
    register = Register(elements)
    of_class = register.of_class("egress", frozenset({Grant(ANYONE, HTTP)}))
    register.use(of_class)
    elements.take()
    register.leave(of_class)
    register.use(register.of_class("egress", frozenset({Grant(ANYONE, HTTP)})))
    register.let_go()
    assert not elements.take()


def test_the_same_grants_in_the_other_direction_are_another_class() -> None:
    register = Register(Elements())
    grants = frozenset({Grant(ANYONE, HTTP)})
    assert register.of_class("ingress", grants) != register.of_class("egress", grants)


def test_pairs_share_a_span_and_it_follows_the_pieces() -> None:
    elements = Elements()
    register = Register(elements)
    register.cut_ports([("tcp", 90, 99)])
    for direction in ("ingress", "egress"):
        register.use(register.of_class(direction, frozenset({Grant(ANYONE, RANGE)})))
    assert len([element for element in elements.table if element.set == "span"]) == 1
    assert len([element for element in elements.table if element.set == "spans"]) == 2
    register.cut_ports([("tcp", 90, 99), ("udp", 95, 97)])
    assert len([element for element in elements.table if element.set == "ports"]) == 3
    assert {element.key[1] for element in elements.table if element.set == "span"} == {"tcp"}
    pieces = {value[0] for element, value in elements.table.items() if element.set == "ports"}
    assert {element.key[2] for element in elements.table if element.set == "span"} == pieces
