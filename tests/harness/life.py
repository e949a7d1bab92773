"""What every kind of the API can do, asked of one kind."""

from __future__ import annotations

from typing import Any

from kubernetes import client

from harness.kind import Kind
from harness.node import eventually
from harness.scene import Manifest, Scene


def discovered(scene: Scene, group: str, *plurals: str) -> None:
    """The group, its version v1 and the resources stand in the discovery documents."""
    name = "".join(part.capitalize() for part in group.removesuffix(".k8s.io").split("."))
    assert group in [each.name for each in client.ApisApi(scene.api).get_api_versions().groups]
    versions = getattr(client, f"{name}Api")(scene.api).get_api_group().versions
    assert "v1" in [version.version for version in versions]
    resources = getattr(client, f"{name}V1Api")(scene.api).get_api_resources().resources
    assert set(plurals) <= {each.name for each in resources}


def life(kind: Kind, prefix: str = "", **fields: Any) -> None:
    """Every verb once; `prefix` keeps the names of cluster-wide objects apart."""
    label = f"{prefix}life"
    for name in ("first", "second", "third"):
        kind.create({"metadata": {"name": f"{prefix}{name}", "labels": {"of": label}}, **fields})
    first = f"{prefix}first"
    assert len(kind.list(f"of={label}")) == 3
    assert kind.read(first).metadata.name == first
    assert kind.label(first, patched="yes").metadata.labels["patched"] == "yes"
    assert kind.relabel(first, updated="yes").metadata.labels["updated"] == "yes"
    kind.delete(first)
    kind.gone(first)
    kind.delete_all(f"of={label}")
    eventually(lambda: not kind.list(f"of={label}"))


def labelled(name: str, label: str, **fields: Any) -> Manifest:
    return {"metadata": {"name": name, "labels": {"of": label}}, **fields}
