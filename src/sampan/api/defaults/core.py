"""Defaults of the core group's small kinds."""

from __future__ import annotations

import base64

from sampan.api.defaults.fill import entries, fill, fill_blank, section
from sampan.api.defaults.pod import template
from sampan.api.objects import Obj

NAME_LABEL = "kubernetes.io/metadata.name"


def replication_controller(obj: Obj) -> None:
    spec = section(obj, "spec")
    fill(spec, "replicas", 1)
    pods = section(spec, "template")
    template(pods)
    labels = (pods.get("metadata") or {}).get("labels")
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        labels_from_template(obj, labels)


def labels_from_template(obj: Obj, labels: dict[str, str]) -> None:
    metadata = section(obj, "metadata")
    if not metadata.get("labels"):
        metadata["labels"] = dict(labels)


def endpoints(obj: Obj) -> None:
    for subset in entries(obj, "subsets"):
        for port in entries(subset, "ports"):
            fill_blank(port, "protocol", "TCP")


def secret(obj: Obj) -> None:
    fill_blank(obj, "type", "Opaque")
    plain = obj.pop("stringData", None)
    if plain:
        data = section(obj, "data")
        for key, text in plain.items():
            data[key] = base64.b64encode(text.encode()).decode()


def namespace(obj: Obj) -> None:
    metadata = section(obj, "metadata")
    if metadata.get("name"):
        section(metadata, "labels")[NAME_LABEL] = metadata["name"]
    # On its way out the finalizer list only shrinks; refilling it would keep the namespace for ever.
    if not metadata.get("deletionTimestamp"):
        fill_blank(section(obj, "spec"), "finalizers", ["kubernetes"])
    fill_blank(section(obj, "status"), "phase", "Active")


def node(obj: Obj) -> None:
    spec, status = section(obj, "spec"), section(obj, "status")
    if status.get("capacity") and status.get("allocatable") is None:
        status["allocatable"] = dict(status["capacity"])
    if spec.get("podCIDR"):
        fill_blank(spec, "podCIDRs", [spec["podCIDR"]])
    elif spec.get("podCIDRs"):
        spec["podCIDR"] = spec["podCIDRs"][0]


def limit_range(obj: Obj) -> None:
    for limit in entries(section(obj, "spec"), "limits"):
        if limit.get("type") != "Container":
            continue
        for target, source in (("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")):
            for name, amount in (limit.get(source) or {}).items():
                fill(section(limit, target), name, amount)
