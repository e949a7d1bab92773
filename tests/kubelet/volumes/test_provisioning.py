"""What becomes a directory, what does not, and what is taken away again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.storage import WAITS, claim, storage_class
from sampan.api import defaults, validation
from sampan.api.objects import Obj
from sampan.api.persistence import DIRECTORIES, SELECTED_NODE, STORAGE_PROVISIONER, shortcoming
from sampan.api.resources import PERSISTENT_VOLUMES
from sampan.kubelet.volumes.provisioning import (
    directory_of,
    is_ours,
    is_to_go,
    is_wanted,
    refusal,
    volume_for,
)

ROOT = Path("/data/volumes")
LATE, SOON = storage_class("late", WAITS, DIRECTORIES), storage_class("soon", provisioner=DIRECTORIES)


def asking(provisioner: str = DIRECTORIES, node: str = "n1", **spec: Any) -> Obj:
    found = claim(storageClassName="late", **spec)
    found["metadata"]["annotations"] = {STORAGE_PROVISIONER: provisioner}
    if node:
        found["metadata"]["annotations"][SELECTED_NODE] = node
    return found


@pytest.mark.parametrize(
    ("wanted", "of_class", "ours"),
    [
        (asking(), LATE, True),
        (asking(node="n2"), LATE, False),
        (asking(node=""), LATE, False),
        (asking(node=""), SOON, True),
        (asking(), storage_class("late", WAITS, "x.io/disk"), False),
        (asking("", ""), SOON, False),
        (asking("", "n1"), LATE, True),
        (asking(volumeName="v"), LATE, False),
        (asking(), None, False),
    ],
)
def test_whom_this_node_provides_for(wanted: Obj, of_class: Obj | None, ours: bool) -> None:
    assert is_wanted(wanted, of_class, "n1") is ours


@pytest.mark.parametrize(
    ("spec", "of_class", "why"),
    [
        ({}, {}, ""),
        ({"volumeMode": "Block"}, {}, "volumeMode Block is not supported: a directory is no device"),
        (
            {"selector": {"matchLabels": {"a": "b"}}},
            {},
            "claim.spec.selector is not supported for dynamic provisioning",
        ),
        ({"dataSource": {"kind": "X"}}, {}, "a data source is not supported: directories are made empty"),
        ({}, {"mountOptions": ["ro"]}, "mount options are not supported: a directory is not mounted"),
        ({}, {"parameters": {"b": "1", "a": "2"}}, "unknown parameters: a, b"),
    ],
)
def test_what_a_directory_cannot_be(spec: Obj, of_class: Obj, why: str) -> None:
    assert refusal(asking(**spec), LATE | of_class) == why


def made(**spec: Any) -> Obj:
    found = volume_for(asking(), LATE | {"reclaimPolicy": "Delete"}, "n1", ROOT)
    found["spec"] |= spec
    return found


def test_the_volume_is_valid_fits_and_stays_on_its_node() -> None:
    volume = made()
    assert volume["spec"]["local"]["path"] == "/data/volumes/pvc-u-data"
    assert shortcoming(volume, asking()) == ""
    assert is_ours(volume, "n1") and not is_ours(volume, "n2")
    defaults.apply(PERSISTENT_VOLUMES, volume)
    assert validation.create(PERSISTENT_VOLUMES, volume) == []


@pytest.mark.parametrize(
    ("phase", "policy", "deleting", "goes"),
    [
        ("Bound", "Delete", False, False),
        ("Bound", "Delete", True, False),
        ("Released", "Delete", False, True),
        ("Released", "Retain", False, False),
        ("Released", "Retain", True, True),
        ("Available", "Delete", True, True),
        ("Available", "Delete", False, False),
    ],
)
def test_a_volume_goes_when_nobody_will_want_it(phase: str, policy: str, deleting: bool, goes: bool) -> None:
    volume = made(persistentVolumeReclaimPolicy=policy)
    volume["status"] = {"phase": phase}
    if deleting:
        volume["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    assert is_to_go(volume) is goes


def test_only_the_directory_that_was_made_is_removed() -> None:
    assert directory_of(made(), ROOT) == ROOT / "pvc-u-data"
    assert directory_of(made(persistentVolumeReclaimPolicy="Retain"), ROOT) is None
    for path in ("/etc", "/data/volumes", "/data/volumes/pvc-other", "/data/volumes/../x"):
        with pytest.raises(ValueError, match="its directory is left alone"):
            directory_of(made(local={"path": path}), ROOT)
    for name in ("..", ".", "a/b"):
        renamed = made(local={"path": str(ROOT / name)})
        renamed["metadata"]["name"] = name
        with pytest.raises(ValueError, match="its directory is left alone"):
            directory_of(renamed, ROOT)
