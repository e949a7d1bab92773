import pytest

from sampan.api import defaults, validation
from sampan.api.objects import mutable
from sampan.api.resources import resource

VOLUMES = resource("", "v1", "persistentvolumes")
CLAIMS = resource("", "v1", "persistentvolumeclaims")
CLASSES = resource("storage.k8s.io", "v1", "storageclasses")

VOLUME = {
    "capacity": {"storage": "1Gi"},
    "accessModes": ["ReadWriteOnce"],
    "hostPath": {"path": "/srv"},
}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def made(kind, **fields):
    obj = {"metadata": {"name": "a", **({"namespace": "default"} if kind.namespaced else {})}, **fields}
    defaults.apply(kind, obj)
    return obj


def broken(kind, **fields):
    return [error.text for error in validation.create(kind, made(kind, **fields))]


def changed(kind, new, old):
    for obj in (new, old):
        obj["metadata"]["resourceVersion"] = "1"
    return [error.text for error in validation.update(kind, new, old)]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({}, []),
        ({"accessModes": []}, ["spec.accessModes: Required value"]),
        (
            {"capacity": {"storage": "0"}},
            ['spec.capacity[storage]: Invalid value: "0": must be greater than zero'],
        ),
        ({"hostPath": None}, ["spec: Required value: must specify a volume type"]),
        (
            {"nfs": {"server": "a", "path": "/"}},
            ["spec.nfs: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            {"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]},
            ["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
        ),
    ],
)
def test_volume(spec, found):
    assert broken(VOLUMES, spec=VOLUME | spec) == found


def test_a_volume_stays_what_it_is():
    old = made(VOLUMES, spec=dict(VOLUME))
    new = made(VOLUMES, spec=VOLUME | {"hostPath": {"path": "/other"}})
    assert changed(VOLUMES, new, old) == [
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"
    ]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({}, []),
        ({"accessModes": []}, ["spec.accessModes: Required value: at least 1 access mode is required"]),
        ({"resources": {}}, ["spec.resources[storage]: Required value"]),
        (
            {"accessModes": ["Sometimes"]},
            [
                'spec.accessModes: Unsupported value: "Sometimes": supported values: '
                '"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"'
            ],
        ),
    ],
)
def test_claim(spec, found):
    assert broken(CLAIMS, spec=CLAIM | spec) == found


def test_a_claim_is_given_its_volume_once_and_grows_only_when_bound():
    old = made(CLAIMS, spec=dict(CLAIM))
    bound = mutable(old)
    bound["spec"]["volumeName"] = "v"
    assert changed(CLAIMS, bound, old) == []
    moved = mutable(bound)
    moved["spec"]["volumeName"] = "w"
    assert len(changed(CLAIMS, moved, bound)) == 1
    larger = mutable(bound)
    larger["spec"]["resources"]["requests"]["storage"] = "2Gi"
    assert len(changed(CLAIMS, larger, bound)) == 1
    bound["status"] = larger["status"] = {"phase": "Bound"}
    assert changed(CLAIMS, larger, bound) == []


def test_storage_class():
    assert broken(CLASSES, provisioner="example.com/disk") == []
    assert broken(CLASSES, provisioner="") == ["provisioner: Required value"]
    old = made(CLASSES, provisioner="a.io/b")
    assert changed(CLASSES, made(CLASSES, provisioner="a.io/c"), old) == [
        "provisioner: Forbidden: updates to provisioner are forbidden."
    ]
