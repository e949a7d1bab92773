"""Which rules bind which kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sampan.api.errors import FieldError
from sampan.api.objects import Obj


def _nothing(obj: Obj) -> Iterable[FieldError]:
    return ()


def _no_change(new: Obj, old: Obj) -> Iterable[FieldError]:
    return ()


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one kind beside those of metadata: new objects, changes, changes of status."""

    create: Callable[[Obj], Iterable[FieldError]] = _nothing
    update: Callable[[Obj, Obj], Iterable[FieldError]] = _no_change
    update_status: Callable[[Obj, Obj], Iterable[FieldError]] = _no_change


RULES: dict[tuple[str, str], Rules] = {}
