"""The next thing to do about a claim or a volume: what to write, and what to tell the user.

Plans are made of single steps because a process may end between any two writes: whoever comes next finds
from what is there what the next one is. The writes of one step are to different objects, in any order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from sampan.api.objects import Obj


@dataclass(frozen=True, slots=True)
class Write:
    """`obj` is a changed copy that still has the revision it was made from."""

    obj: Obj
    status: bool = False


@dataclass(frozen=True, slots=True)
class Say:
    """An Event about `obj`."""

    obj: Obj
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Step:
    writes: tuple[Write, ...] = ()
    says: tuple[Say, ...] = ()


NOTHING = Step()


class Market(Protocol):
    """What there is, as far as is known."""

    def claim(self, key: str) -> Obj | None: ...

    def volume(self, name: str) -> Obj | None: ...

    def offers(self, claim: Obj) -> Iterable[Obj]:
        """Volumes of the claim's class that nobody has, and those that name it."""

    def classes(self) -> Iterable[Obj]: ...

    def storage_class(self, name: str) -> Obj | None: ...
