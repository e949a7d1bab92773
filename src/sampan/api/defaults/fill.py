"""The few moves defaulting is made of. Missing and null are the same; what is set stays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sampan.api.objects import Obj


def fill(obj: Obj, key: str, value: Any) -> None:
    if obj.get(key) is None:
        obj[key] = value


def fill_blank(obj: Obj, key: str, value: Any) -> None:
    """For texts whose empty form means "not given"."""
    if not obj.get(key):
        obj[key] = value


def section(obj: Obj, key: str) -> Obj:
    """The object under `key`, made if missing: what is a struct upstream always exists."""
    found: Obj | None = obj.get(key)
    if found is None:
        found = obj[key] = {}
    return found


def entries(obj: Obj, key: str) -> Iterator[Obj]:
    """The objects of a list; null entries are left alone."""
    for entry in obj.get(key) or ():
        if entry is not None:
            yield entry


def twins(obj: Obj, main: str, other: str) -> None:
    """Two names of one field: either fills the other, `main` wins."""
    if obj.get(main):
        obj[other] = obj[main]
    elif obj.get(other):
        obj[main] = obj[other]
