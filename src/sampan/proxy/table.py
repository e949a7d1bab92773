"""The rules of a node as plain values: elements of named sets and maps, and the difference of two tables.

An element is (set name, key); its value is a tuple too, empty for sets. Fields are what one would read in
`nft list`: addresses as text, protocols as names, ports, marks and counts as numbers.

| set   | key                   | value          | says |
|-------|-----------------------|----------------|------|
| fe4   | address, proto, port  | mark           | ClusterIP or load balancer address -> service port |
| np4   | proto, port           | mark           | node port -> service port |
| hp4   | address, proto, port  | mark           | host port -> service port that is a Pod's alone |
| svc   | key                   | class          | service port -> how many endpoints (or DROP) |
| ep4   | key, slot             | address, port  | the endpoints of a service port, numbered from 0 |
| hair4 | address, address      |                | an endpoint on this node: it may call itself |
| class | class                 | chain          | how to choose among so many endpoints |

A mark is the service port's key with flags in its top byte; a key may carry LOCAL, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

LOCAL = 0x01000000
"""Only this node's endpoints."""
EXTERNAL = 0x02000000
"""Came from outside by a `Local` address: Pods and the node itself may use all endpoints."""
KEY_MASK = 0x00FFFFFF
DROP = 0xFFFF
"""The class of a service port that has endpoints, but none that this node may use."""

PROTOCOLS: Mapping[str, int] = {"tcp": 6, "udp": 17, "sctp": 132}
FRONTENDS = ("fe", "hp")
"""How the names of those sets begin whose keys are what a service port is known by."""

Fields: TypeAlias = tuple[str | int, ...]
Endpoint: TypeAlias = tuple[str, int]
"""Address and port."""


class Element(NamedTuple):
    set: str
    key: Fields


Table: TypeAlias = dict[Element, Fields]


@dataclass(frozen=True, slots=True)
class Change:
    """One transaction: `delete` first, then `add`. An element with a new value is in both."""

    delete: tuple[tuple[Element, Fields], ...] = ()
    add: tuple[tuple[Element, Fields], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.delete or self.add)

    def without(self, elements: Collection[Element]) -> Change:
        """Leaves these elements as they are."""
        return Change(
            tuple(part for part in self.delete if part[0] not in elements),
            tuple(part for part in self.add if part[0] not in elements),
        )


def diff(old: Mapping[Element, Fields], new: Mapping[Element, Fields]) -> Change:
    """What turns `old` into `new`."""
    return Change(
        tuple((element, value) for element, value in old.items() if new.get(element) != value),
        tuple((element, value) for element, value in new.items() if old.get(element) != value),
    )


def applied(table: Mapping[Element, Fields], change: Change) -> Table:
    """The table after the change. KeyError: deletes what is not there; ValueError: adds what is."""
    result = dict(table)
    for element, _ in change.delete:
        del result[element]
    for element, value in change.add:
        if element in result:
            raise ValueError(f"{element} exists")
        result[element] = value
    return result


def endpoints_of(table: Mapping[Element, Fields]) -> dict[int, tuple[Endpoint, ...]]:
    """Service port key -> its endpoints in the order of their slots."""
    slots: dict[int, dict[int, Endpoint]] = {}
    for (name, key), value in table.items():
        if name.startswith("ep"):
            slots.setdefault(int(key[0]), {})[int(key[1])] = (str(value[0]), int(value[1]))
    return {mark: tuple(found[slot] for slot in sorted(found)) for mark, found in slots.items()}


def of_set(table: Mapping[Element, Fields], names: Iterable[str]) -> Table:
    wanted = frozenset(names)
    return {element: value for element, value in table.items() if element.set in wanted}
