from __future__ import annotations

import pytest

from sampan.api.errors import StatusError
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, STORAGE_CLASSES
from sampan.apiserver.admission.claimresize import UNSUPPORTED


def size(text: str) -> dict:
    return {"resources": {"requests": {"storage": text}}}


async def bound(api, storage_class: str, **of_class) -> None:
    if storage_class:
        body = {"metadata": {"name": storage_class}, "provisioner": "x.io/disk", **of_class}
        await api.create(STORAGE_CLASSES, body)
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": storage_class, "volumeName": "v"}
    await api.create(PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "data"}, "spec": spec | size("1Gi")})
    status = {"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}
    await api.call("patch", PERSISTENT_VOLUME_CLAIMS, "data", status, sub="status")


async def grow(api, text: str) -> dict:
    return await api.call("patch", PERSISTENT_VOLUME_CLAIMS, "data", {"spec": size(text)})


async def test_a_class_that_expands_lets_claims_grow(api) -> None:
    await bound(api, "fast", allowVolumeExpansion=True)
    assert (await grow(api, "3Gi"))["spec"]["resources"]["requests"] == {"storage": "3Gi"}
    assert (await grow(api, "2Gi"))["spec"]["resources"]["requests"] == {"storage": "2Gi"}
    with pytest.raises(StatusError) as caught:
        await grow(api, "1Gi")
    assert caught.value.message == (
        'PersistentVolumeClaim "data" is invalid: spec.resources.requests.storage: Forbidden: '
        "field can not be less than status.capacity"
    )


@pytest.mark.parametrize(
    ("name", "of_class"), [("", {}), ("stiff", {}), ("no", {"allowVolumeExpansion": False})]
)
async def test_others_do_not(api, name, of_class) -> None:
    await bound(api, name, **of_class)
    with pytest.raises(StatusError) as caught:
        await grow(api, "3Gi")
    assert caught.value.code == 403
    assert caught.value.message == f'persistentvolumeclaims "data" is forbidden: {UNSUPPORTED}'
