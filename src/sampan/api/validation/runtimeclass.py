"""Rules of RuntimeClasses."""

from __future__ import annotations

from sampan.api import names
from sampan.api.errors import duplicate
from sampan.api.objects import Obj
from sampan.api.validation import labels, resources, scheduling
from sampan.api.validation.check import Errors, complain, dicts, unchanged


def create(obj: Obj) -> Errors:
    handler = obj.get("handler") or ""
    yield from complain("handler", handler, names.dns_label(handler))
    if (overhead := obj.get("overhead")) is not None:
        yield from resources.overhead("overhead", overhead.get("podFixed"))
    place = obj.get("scheduling")
    if place is None:
        return
    yield from labels.label_map("scheduling.nodeSelector", place.get("nodeSelector"))
    yield from scheduling.tolerations("scheduling.tolerations", place)
    seen: list[Obj] = []
    for index, toleration in dicts(place, "tolerations"):
        if toleration in seen:
            yield duplicate(f"scheduling.tolerations[{index}]", toleration)
        seen.append(toleration)


def update(new: Obj, old: Obj) -> Errors:
    yield from create(new)
    yield from unchanged("handler", new.get("handler"), old.get("handler"))
