"""The rules of a node as plain values: elements of named sets and maps, and the difference of two tables.

An element is (set name, key); its value is a tuple too, empty for sets. Fields are what one would read in
`nft list`: addresses as text, protocols as names, ports, marks and counts as numbers.

| set   | key                   | value          | says |
|-------|-----------------------|----------------|------|
| fe4   | address, proto, port  | mark           | address of a Service -> service port |
| np4   | proto, port           | mark           | node port -> service port |
| hp4   | address, proto, port  | mark           | host port -> service port that is a Pod's alone |
| svc   | key                   | class          | service port -> how many endpoints (or DROP, or STICKY) |
| ep4   | key, slot             | address, port  | the endpoints of a service port, numbered from 0 |
| hair4 | address, address      |                | an endpoint on this node: it may call itself |
| class | class                 | chain          | how to choose among so many endpoints |
| lbsrc4 | key, network         |                | who may use the service port's load balancer (RANGES) |

With session affinity an endpoint keeps its seat (its slot in ep4) as long as it is one, so there may be gaps:

| set   | key                   | value          | says |
|-------|-----------------------|----------------|------|
| cnt   | key                   | count          | how many seats there are to draw from |
| pick  | key, slot             | seat           | the seats taken, numbered from 0 |
| live  | key, seat             |                | the seat is taken |
| draw  | count                 | chain          | how to draw one of so many |
| aff4  | key, client           | seat           | filled and forgotten by the kernel alone |

A mark is the service port's key with flags in its top byte; a key may carry LOCAL, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from socket import AF_INET6, inet_ntop, inet_pton
from typing import NamedTuple, TypeAlias

TABLE = "sampan"
LOCAL = 0x01000000
"""Only this node's endpoints."""
EXTERNAL = 0x02000000
"""Not by the cluster IP: with LOCAL, Pods and the node itself may use all endpoints; without, the node's
address becomes the source."""
RANGES = 0x04000000
"""Only sources in `lbsrc` may."""
KEEP = 0x08000000
"""The source stays as it is."""
KEY_MASK = 0x00FFFFFF
DROP = 0xFFFF
"""The class of a service port that has endpoints, but none that this node may use."""
STICKY = 0x80000000
"""With a timeout in seconds: the class of a service port with session affinity."""

PROTOCOLS: Mapping[str, int] = {"tcp": 6, "udp": 17, "sctp": 132}
MADE_ONCE = frozenset(("class", "draw"))
"""Sets whose elements come with a chain of their own; they stay."""
CLUSTER_IPS, NODE_PORTS, ENDPOINTS, HAIRPINS = (
    {4: f"{stem}4", 6: f"{stem}6"} for stem in ("fe", "np", "ep", "hair")
)
"""Names of sets by address family; thousands of elements have the same one."""
FRONTENDS = ("fe", "hp")
"""How the names of those sets begin whose keys are what a service port is known by."""

Fields: TypeAlias = tuple[str | int, ...]
Endpoint: TypeAlias = tuple[str, int]
"""Address and port."""
Seats: TypeAlias = tuple[Endpoint | None, ...]
"""The endpoints of a service port by slot; None where there is a gap."""


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

    @property
    def size(self) -> int:
        """How many elements are deleted and added; one with a new value is both."""
        return len(self.delete) + len(self.add)

    def without(self, elements: Collection[Element]) -> Change:
        """Leaves these elements as they are."""
        return Change(
            tuple(part for part in self.delete if part[0] not in elements),
            tuple(part for part in self.add if part[0] not in elements),
        )


def canonical(address: str) -> str:
    """The address as the kernel tells it: IPv6 has many spellings, which are one element there."""
    return _spelled(address) if ":" in address else address


@lru_cache(maxsize=1 << 12)
def _spelled(address: str) -> str:
    return inet_ntop(AF_INET6, inet_pton(AF_INET6, address))


def diff(old: Mapping[Element, Fields], new: Mapping[Element, Fields]) -> Change:
    """What turns `old` into `new`."""
    delete = []
    add = dict(new)
    for element, value in old.items():
        if add.get(element) == value:
            del add[element]
        else:
            delete.append((element, value))
    return Change(tuple(delete), tuple(add.items()))


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


def seats_of(table: Mapping[Element, Fields]) -> dict[int, Seats]:
    """Service port key -> its endpoints by slot."""
    slots: dict[int, dict[int, Endpoint]] = {}
    for (name, key), value in table.items():
        if name in ("ep4", "ep6"):
            slots.setdefault(int(key[0]), {})[int(key[1])] = (str(value[0]), int(value[1]))
    return {mark: tuple(found.get(n) for n in range(max(found) + 1)) for mark, found in slots.items()}


def draws_of(table: Mapping[Element, Fields]) -> dict[int, tuple[int, ...]]:
    """Service port key -> the seats one may draw; only where there is session affinity."""
    drawn: dict[int, dict[int, int]] = {}
    for (name, key), value in table.items():
        if name == "pick":
            drawn.setdefault(int(key[0]), {})[int(key[1])] = int(value[0])
    return {mark: tuple(found[n] for n in sorted(found)) for mark, found in drawn.items()}


def of_set(table: Mapping[Element, Fields], names: Iterable[str]) -> Table:
    wanted = frozenset(names)
    return {element: value for element, value in table.items() if element.set in wanted}
