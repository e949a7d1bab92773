from __future__ import annotations

import pytest

from sampan.api.persistence import IS_DEFAULT
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, STORAGE_CLASSES

SPEC = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


@pytest.mark.parametrize(
    ("metadata", "spec", "chosen"),
    [
        ({}, {}, "fast"),
        ({}, {"storageClassName": ""}, ""),
        ({}, {"storageClassName": "slow"}, "slow"),
        ({"annotations": {"volume.beta.kubernetes.io/storage-class": "slow"}}, {}, None),
    ],
)
async def test_only_a_claim_that_says_nothing_gets_the_default(api, metadata, spec, chosen) -> None:
    await api.call(
        "patch",
        STORAGE_CLASSES,
        "standard",
        {"metadata": {"annotations": {IS_DEFAULT[0]: "false"}}},
    )
    unclassed = await api.create(PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "before"}, "spec": SPEC})
    assert "storageClassName" not in unclassed["spec"]
    fast = {"metadata": {"name": "fast", "annotations": {IS_DEFAULT[0]: "true"}}, "provisioner": "x.io/disk"}
    await api.create(STORAGE_CLASSES, fast)
    body = {"metadata": {"name": "data", **metadata}, "spec": SPEC | spec}
    made = await api.create(PERSISTENT_VOLUME_CLAIMS, body)
    assert made["spec"].get("storageClassName") == chosen
