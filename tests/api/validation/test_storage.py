"""PersistentVolumes: what is wrong with them, in upstream's words."""

import pytest

from sampan.api import defaults, validation
from sampan.api.objects import mutable
from sampan.api.resources import PERSISTENT_VOLUMES

VOLUME = {
    "capacity": {"storage": "1Gi"},
    "accessModes": ["ReadWriteOnce"],
    "hostPath": {"path": "/srv"},
}
SOMEWHERE = {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}


def made(**spec):
    obj = {"metadata": {"name": "a"}, "spec": VOLUME | spec}
    defaults.apply(PERSISTENT_VOLUMES, obj)
    return obj


def broken(**spec):
    return [error.text for error in validation.create(PERSISTENT_VOLUMES, made(**spec))]


def changed(new, old):
    for obj in (new, old):
        obj["metadata"]["resourceVersion"] = "1"
    return [error.text for error in validation.update(PERSISTENT_VOLUMES, new, old)]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({}, []),
        ({"accessModes": []}, ["spec.accessModes: Required value"]),
        (
            {"capacity": {"storage": "0"}},
            ['spec.capacity[storage]: Invalid value: "0": must be greater than zero'],
        ),
        (
            {"capacity": {}},
            [
                "spec.capacity: Required value",
                'spec.capacity: Unsupported value: {}: supported values: "storage"',
            ],
        ),
        ({"hostPath": None}, ["spec: Required value: must specify a volume type"]),
        ({"hostPath": {}}, ["spec.hostPath.path: Required value"]),
        (
            {"hostPath": {"path": "/a/../b"}},
            ["spec.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"],
        ),
        (
            {"hostPath": {"path": "/"}, "persistentVolumeReclaimPolicy": "Recycle"},
            [
                "spec.persistentVolumeReclaimPolicy: Forbidden: "
                "may not be 'recycle' for a hostPath mount of '/'"
            ],
        ),
        (
            {"persistentVolumeReclaimPolicy": "Keep"},
            [
                'spec.persistentVolumeReclaimPolicy: Unsupported value: "Keep": '
                'supported values: "Delete", "Recycle", "Retain"'
            ],
        ),
        (
            {"nfs": {"server": "a", "path": "/"}},
            ["spec.nfs: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            {"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]},
            ["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
        ),
        (
            {"hostPath": None, "local": {"path": "/a"}},
            ["spec.nodeAffinity: Required value: Local volume requires node affinity"],
        ),
        ({"hostPath": None, "local": {"path": "/a"}, "nodeAffinity": SOMEWHERE}, []),
        (
            {"hostPath": None, "local": {"path": "/a/.."}, "nodeAffinity": SOMEWHERE},
            ["spec.local.path: Invalid value: \"/a/..\": must not contain '..'"],
        ),
        (
            {"nodeAffinity": {}},
            ["spec.nodeAffinity.required: Required value: must specify required node constraints"],
        ),
        (
            {"nodeAffinity": {"required": {}}},
            [
                "spec.nodeAffinity.required.nodeSelectorTerms: Required value: "
                "must have at least one node selector term"
            ],
        ),
        (
            {"hostPath": None, "csi": {}},
            ["spec.csi.driver: Required value", "spec.csi.volumeHandle: Required value"],
        ),
        (
            {
                "hostPath": None,
                "csi": {"driver": "a.b", "volumeHandle": "v", "nodeStageSecretRef": {"name": "s"}},
            },
            ["spec.csi.nodeStageSecretRef.namespace: Required value"],
        ),
        (
            {"volumeAttributesClassName": "gold"},
            ["spec.csi: Required value: has to be specified when using volumeAttributesClassName"],
        ),
        (
            {"volumeMode": "Tape"},
            ['spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem"'],
        ),
    ],
)
def test_volume(spec, found):
    assert broken(**spec) == found


def test_a_volume_stays_what_it_is():
    assert changed(made(hostPath={"path": "/other"}), made()) == [
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"
    ]
    assert changed(made(volumeMode="Block"), made()) == [
        'volumeMode: Invalid value: "Block": field is immutable'
    ]
    assert changed(made(nodeAffinity=SOMEWHERE), made()) == []
    assert changed(made(), made(nodeAffinity=SOMEWHERE)) == [
        "nodeAffinity: Invalid value: null: field is immutable"
    ]


def test_what_may_change():
    new = made(
        capacity={"storage": "2Gi"},
        persistentVolumeReclaimPolicy="Delete",
        claimRef={"namespace": "default", "name": "c"},
        mountOptions=["ro"],
    )
    assert changed(new, made()) == []
    source = {"driver": "a.b", "volumeHandle": "v"}
    old = made(hostPath=None, csi=source)
    new = mutable(old)
    new["spec"]["csi"]["controllerExpandSecretRef"] = {"name": "s", "namespace": "n"}
    assert changed(new, old) == []
