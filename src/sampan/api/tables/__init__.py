"""Objects as rows: the `Table` of meta.k8s.io/v1 that `kubectl get` asks for and prints.

Source: concepts "receiving resources as tables" of the API concepts page; columns as kubectl shows them.
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api.objects import Obj
from sampan.api.resources import Resource
from sampan.api.tables import core, governance, network, pods, storage, workloads
from sampan.api.tables.column import CREATED_AT, NAME, Printer, printer

DEFAULT = printer(NAME, CREATED_AT)

PRINTERS: dict[tuple[str, str], Printer] = {
    ("", "pods"): pods.PRINTER,
    **core.PRINTERS,
    **workloads.PRINTERS,
    **network.PRINTERS,
    **storage.PRINTERS,
    **governance.PRINTERS,
}


def columns(resource: Resource, subresource: str = "") -> list[Obj]:
    """The `columnDefinitions` of a resource's Table."""
    return [column.definition() for column in _printer(resource, subresource).columns]


def table(
    resource: Resource,
    objects: Iterable[Obj],
    list_meta: Obj,
    include_object: str,
    now: float,
    subresource: str = "",
) -> Obj:
    """A Table of `objects`.

    `list_meta` is the metadata of the list, or of the single object (of which resourceVersion, continue and
    remainingItemCount are kept); `include_object` is None, Metadata or Object; `now` epoch seconds;
    `subresource` "scale" prints Scale objects.
    """
    chosen = _printer(resource, subresource)
    kept = ("resourceVersion", "continue", "remainingItemCount")
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {key: list_meta[key] for key in kept if list_meta.get(key)},
        "columnDefinitions": [column.definition() for column in chosen.columns],
        "rows": [_row(chosen, obj, include_object, now) for obj in objects],
    }


def _printer(resource: Resource, subresource: str) -> Printer:
    if subresource == "scale":
        return workloads.PRINTERS["autoscaling", "scale"]
    return PRINTERS.get((resource.group, resource.plural), DEFAULT)


def _row(chosen: Printer, obj: Obj, include_object: str, now: float) -> Obj:
    row: Obj = {"cells": chosen.cells(obj, now)}
    if chosen is pods.PRINTER and (conditions := pods.conditions(obj)):
        row["conditions"] = conditions
    if include_object == "Object":
        row["object"] = obj
    elif include_object != "None":
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": obj["metadata"],
        }
    return row
