"""Claims: what is wrong with them, and what may become of them."""

import pytest

from sampan.api import defaults, validation
from sampan.api.objects import mutable
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS

CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def made(annotations=None, **spec):
    metadata = {"name": "a", "namespace": "default"}
    if annotations:
        metadata["annotations"] = annotations
    obj = {"metadata": metadata, "spec": CLAIM | spec}
    defaults.apply(PERSISTENT_VOLUME_CLAIMS, obj)
    return obj


def changed(new, old):
    for obj in (new, old):
        obj["metadata"]["resourceVersion"] = "1"
    return [error.text for error in validation.update(PERSISTENT_VOLUME_CLAIMS, new, old)]


def size(text):
    return {"requests": {"storage": text}}


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({}, []),
        ({"accessModes": []}, ["spec.accessModes: Required value: at least 1 access mode is required"]),
        ({"resources": {}}, ["spec.resources[storage]: Required value"]),
        (
            {"resources": size("-1")},
            ['spec.resources[storage]: Invalid value: "-1": must be greater than zero'],
        ),
        (
            {"accessModes": ["Sometimes"]},
            [
                'spec.accessModes: Unsupported value: "Sometimes": supported values: '
                '"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"'
            ],
        ),
        (
            {"dataSource": {"name": "a", "kind": "Snapshot"}},
            [
                f"spec.{field}: Invalid value: \"Snapshot\": must be 'PersistentVolumeClaim' when "
                "referencing the default apiGroup"
                for field in ("dataSource", "dataSourceRef")
            ],
        ),
        ({"dataSourceRef": {"name": "a", "kind": "Snapshot", "apiGroup": "snap.io"}}, []),
    ],
)
def test_claim(spec, found):
    assert [error.text for error in validation.create(PERSISTENT_VOLUME_CLAIMS, made(**spec))] == found


FROZEN = (
    "spec: Forbidden: spec is immutable after creation except resources.requests and "
    "volumeAttributesClassName for bound claims"
)


def test_a_claim_is_given_its_volume_and_its_class_once():
    old = made()
    bound = made(volumeName="v", storageClassName="fast")
    assert changed(bound, old) == []
    assert changed(made(volumeName="w", storageClassName="fast"), bound) == [FROZEN]
    assert changed(made(volumeName="v", storageClassName="slow"), bound) == [FROZEN]
    assert changed(made(accessModes=["ReadWriteMany"]), old) == [FROZEN]
    annotation = "volume.beta.kubernetes.io/storage-class"
    assert changed(made({annotation: "x"}), old) == [
        f'metadata.annotations[{annotation}]: Invalid value: "x": field is immutable'
    ]


@pytest.mark.parametrize(
    ("phase", "old", "new", "has", "found"),
    [
        ("Pending", "1Gi", "2Gi", "", [FROZEN]),
        ("Bound", "1Gi", "2Gi", "1Gi", []),
        ("Bound", "3Gi", "2Gi", "1Gi", []),
        (
            "Bound",
            "3Gi",
            "1Gi",
            "1Gi",
            ["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"],
        ),
    ],
)
def test_a_bound_claim_grows_and_may_take_back_what_it_has_not_got(phase, old, new, has, found):
    before, after = made(resources=size(old)), made(resources=size(new))
    for obj in (before, after):
        obj["status"] = {"phase": phase, **({"capacity": {"storage": has}} if has else {})}
    assert changed(after, before) == found


def test_status_amounts():
    old = made()
    new = mutable(old)
    new["status"] = {"phase": "Bound", "capacity": {"storage": "much"}}
    for obj in (new, old):
        obj["metadata"]["resourceVersion"] = "1"
    (found,) = validation.update_status(PERSISTENT_VOLUME_CLAIMS, new, old)
    assert found.field == "status.capacity[storage]"


def test_a_template_in_a_pod_is_held_to_the_same_rules():
    volume = {"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}}
    container = {"name": "c", "image": "i"}
    pod = {
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": [container], "volumes": [volume]},
    }
    defaults.apply(PODS, pod)
    found = [error.text for error in validation.create(PODS, pod)]
    assert found == ["spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value"]
