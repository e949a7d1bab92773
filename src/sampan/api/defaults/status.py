"""The status of an object that nobody has looked at yet: there, with every count at zero.

Upstream's status types are structs: they are always written, and so are those of their fields that may not be
left out. Typed clients rely on both.
"""

from __future__ import annotations

from functools import cache

from sampan.api import schema
from sampan.api.defaults.fill import fill, section
from sampan.api.objects import Obj
from sampan.api.resources import Resource

_ZEROS: dict[str, int | str] = {"int32": 0, "int64": 0, "bool": False, "string": ""}


def complete(resource: Resource, obj: Obj) -> None:
    """Fills in what is missing; nothing for kinds without a status."""
    if (zeros := _zeros(resource)) is None:
        return
    status = section(obj, "status")
    for name, zero in zeros:
        fill(status, name, zero)


@cache
def _zeros(resource: Resource) -> tuple[tuple[str, int | str], ...] | None:
    definition = schema.find(resource.api_version, resource.kind)
    field = definition.fields.get("status") if definition else None
    if field is None or field.type.code != "object" or not resource.subresource("status"):
        return None
    struct = field.type.definition
    codes = ((name, struct.fields[name].type.code) for name in struct.required)
    return tuple((name, _ZEROS[code]) for name, code in codes if code in _ZEROS)
