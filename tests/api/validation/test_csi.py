"""What drivers and attachers put into the API."""

import pytest

from sampan.api import defaults, validation
from sampan.api.resources import resource

KINDS = {
    name: resource("storage.k8s.io", "v1", name)
    for name in ("csidrivers", "csinodes", "csistoragecapacities", "volumeattachments")
}


def made(plural, **fields):
    kind = KINDS[plural]
    metadata = {"name": "a", "resourceVersion": "1"}
    if kind.namespaced:
        metadata["namespace"] = "default"
    obj = {"metadata": metadata, **fields}
    defaults.apply(kind, obj)
    return obj


def changed(plural, new, old):
    return [error.text for error in validation.update(KINDS[plural], new, old)]


def entry(**fields):
    return {"spec": {"drivers": [{"name": "a.b", "nodeID": "n", **fields}]}}


ATTACHED = {"attacher": "a.b", "nodeName": "n1", "source": {"persistentVolumeName": "v"}}


@pytest.mark.parametrize(
    ("plural", "fields", "found"),
    [
        ("csidrivers", {"spec": {}}, []),
        (
            "csidrivers",
            {"spec": {"volumeLifecycleModes": ["Sometimes"], "fsGroupPolicy": "All"}},
            [
                'spec.fsGroupPolicy: Unsupported value: "All": supported values: '
                '"File", "None", "ReadWriteOnceWithFSType"',
                'spec.volumeLifecycleModes: Unsupported value: "Sometimes": supported values: '
                '"Ephemeral", "Persistent"',
            ],
        ),
        (
            "csidrivers",
            {"spec": {"tokenRequests": [{"audience": "a", "expirationSeconds": 5}, {"audience": "a"}]}},
            [
                "spec.tokenRequests[0].expirationSeconds: Invalid value: 5: "
                "may not specify a duration less than 10 minutes",
                'spec.tokenRequests[1].audience: Duplicate value: "a"',
            ],
        ),
        ("csinodes", entry(), []),
        ("csinodes", entry(nodeID=""), ["spec.drivers[0].nodeID: Required value"]),
        (
            "csinodes",
            entry(allocatable={"count": -1}),
            ["spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            "csinodes",
            {"spec": {"drivers": [{"name": "a.b", "nodeID": "n"}] * 2}},
            ['spec.drivers[1].name: Duplicate value: "a.b"'],
        ),
        ("csinodes", entry(topologyKeys=["a", "a"]), ['spec.drivers[0]: Duplicate value: "a"']),
        ("csistoragecapacities", {"storageClassName": "fast", "capacity": "1Gi"}, []),
        (
            "csistoragecapacities",
            {"storageClassName": "fast", "capacity": "-1"},
            ['capacity: Invalid value: "-1": must be greater than or equal to 0'],
        ),
        ("volumeattachments", {"spec": ATTACHED}, []),
        ("volumeattachments", {"spec": ATTACHED | {"attacher": ""}}, ["spec.attacher: Required value"]),
        (
            "volumeattachments",
            {"spec": ATTACHED | {"source": {}}},
            [
                "spec.source: Required value: "
                "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
            ],
        ),
        (
            "volumeattachments",
            {"spec": ATTACHED | {"source": {"persistentVolumeName": "v", "inlineVolumeSpec": {}}}},
            ["spec.source: Forbidden: must specify exactly one of inlineVolumeSpec and persistentVolumeName"],
        ),
    ],
)
def test_what_is_wrong(plural, fields, found):
    assert [error.text for error in validation.create(KINDS[plural], made(plural, **fields))] == found


def test_what_stays():
    assert changed("csidrivers", made("csidrivers", spec={"attachRequired": False}), made("csidrivers")) == [
        "spec.attachedRequired: Invalid value: [false]: field is immutable"
    ]
    assert changed("csidrivers", made("csidrivers", spec={"podInfoOnMount": True}), made("csidrivers")) == []
    old = made("csinodes", **entry())
    assert changed("csinodes", made("csinodes", **entry(allocatable={"count": 3})), old) == []
    assert changed("csinodes", made("csinodes", spec={"drivers": []}), old) == []
    assert len(changed("csinodes", made("csinodes", **entry(nodeID="m")), old)) == 1
    old = made("csistoragecapacities", storageClassName="fast")
    assert changed("csistoragecapacities", made("csistoragecapacities", storageClassName="slow"), old) == [
        'storageClassName: Invalid value: "slow": field is immutable'
    ]
    old = made("volumeattachments", spec=ATTACHED)
    (found,) = changed(
        "volumeattachments", made("volumeattachments", spec=ATTACHED | {"nodeName": "n2"}), old
    )
    assert found.startswith("spec: Invalid value: ") and found.endswith(": field is immutable")


def test_an_error_is_of_bounded_length():
    old = made("volumeattachments", spec=ATTACHED)
    new = old | {"status": {"attached": False, "attachError": {"message": "x" * 2000, "errorCode": -1}}}
    fields = [error.field for error in validation.update_status(KINDS["volumeattachments"], new, old)]
    assert fields == ["status.attachError.message", "status.attachError.errorCode"]
