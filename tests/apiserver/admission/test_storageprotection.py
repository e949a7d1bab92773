from __future__ import annotations

from sampan.api.persistence import CLAIM_PROTECTION, VOLUME_PROTECTION
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES


async def test_volumes_and_claims_are_held_from_the_start(api) -> None:
    spec = {"accessModes": ["ReadWriteOnce"]}
    claim = {"metadata": {"name": "a"}, "spec": spec | {"resources": {"requests": {"storage": "1Gi"}}}}
    made = await api.create(PERSISTENT_VOLUME_CLAIMS, claim)
    assert made["metadata"]["finalizers"] == [CLAIM_PROTECTION]
    volume = {
        "metadata": {"name": "a", "finalizers": ["x.io/y"]},
        "spec": spec | {"capacity": {"storage": "1Gi"}, "hostPath": {"path": "/srv"}},
    }
    made = await api.create(PERSISTENT_VOLUMES, volume)
    assert made["metadata"]["finalizers"] == ["x.io/y", VOLUME_PROTECTION]
    assert made["status"]["phase"] == "Pending" and made["status"]["lastPhaseTransitionTime"]
