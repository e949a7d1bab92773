"""What a printed kind is: named columns, and for each a cell read from the object."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sampan.api import selectors
from sampan.api.objects import Obj
from sampan.api.tables import duration

NONE = "<none>"
UNSET = "<unset>"

Cell = Callable[[Obj, float], Any]
"""(object, now in epoch seconds) -> a JSON scalar."""


@dataclass(frozen=True, slots=True)
class Column:
    """`wide` columns are sent always, and shown by kubectl with `-o wide` only."""

    name: str
    type: str = "string"
    wide: bool = False
    format: str = ""

    def definition(self) -> Obj:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": "",
            "priority": 1 if self.wide else 0,
        }


@dataclass(frozen=True, slots=True)
class Printer:
    """The columns of a kind and the function that fills one row of them."""

    columns: tuple[Column, ...]
    cells: Callable[[Obj, float], list[Any]]


def printer(*pairs: tuple[Column, Cell]) -> Printer:
    """A printer whose every column has a reader of its own."""
    readers = tuple(reader for _, reader in pairs)
    return Printer(
        tuple(column for column, _ in pairs),
        lambda obj, now: [read(obj, now) for read in readers],
    )


def text(name: str, cell: Cell) -> tuple[Column, Cell]:
    return Column(name), cell


def wide(name: str, cell: Cell) -> tuple[Column, Cell]:
    return Column(name, wide=True), cell


def integer(name: str, cell: Cell) -> tuple[Column, Cell]:
    return Column(name, "integer"), cell


def boolean(name: str, cell: Cell) -> tuple[Column, Cell]:
    return Column(name, "boolean"), cell


# --- readers ------------------------------------------------------------------------------------------------


def find(obj: Obj, path: str) -> Any:
    """The value at a dotted path, or None."""
    found: Any = obj
    for step in path.split("."):
        if not isinstance(found, dict):
            return None
        found = found.get(step)
    return found


def at(path: str, missing: Any = "") -> Cell:
    """The value at `path`; `missing` for none and for the empty text."""
    steps = tuple(path.split("."))

    def read(obj: Obj, now: float) -> Any:
        found: Any = obj
        for step in steps:
            if not isinstance(found, dict):
                return missing
            found = found.get(step)
        return missing if found is None or found == "" else found

    return read


def size(*paths: str) -> Cell:
    """How many entries the collections at `paths` hold together."""
    return lambda obj, now: sum(len(find(obj, path) or ()) for path in paths)


def joined(path: str, missing: str = "", separator: str = ",") -> Cell:
    return lambda obj, now: separator.join(map(str, find(obj, path) or ())) or missing


def age_of(path: str, missing: str = duration.UNKNOWN) -> Cell:
    read = at(path)
    return lambda obj, now: duration.since(read(obj, now), now) if read(obj, now) else missing


def labels(path: str) -> Cell:
    """A plain map of labels as `k=v,k=v`."""
    return lambda obj, now: format_labels(find(obj, path))


def selector(path: str) -> Cell:
    """A LabelSelector object in its text form."""
    return lambda obj, now: selectors.format(find(obj, path))


def format_labels(mapping: Obj | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((mapping or {}).items())) or NONE


def first_few(items: Iterable[str], limit: int = 3, separator: str = ",") -> str:
    """`a,b,c + 2 more...`"""
    listed = list(items)
    shown = separator.join(listed[:limit])
    return f"{shown} + {len(listed) - limit} more..." if len(listed) > limit else shown


NAME = (Column("Name", format="name"), at("metadata.name"))
AGE = text("Age", age_of("metadata.creationTimestamp"))
CREATED_AT = (Column("Created At", "date"), at("metadata.creationTimestamp"))


def containers(path: str) -> tuple[tuple[Column, Cell], tuple[Column, Cell]]:
    """The wide columns Containers and Images of the Pod spec at `path`."""

    def listed(field: str) -> Cell:
        return lambda obj, now: ",".join(c.get(field, "") for c in find(obj, f"{path}.containers") or ())

    return wide("Containers", listed("name")), wide("Images", listed("image"))
