import pytest

from sampan.api import validation
from sampan.api.resources import CONFIG_MAPS, LEASES, NAMESPACES, NODES, SERVICES, resource

CLUSTER_ROLES = resource("rbac.authorization.k8s.io", "v1", "clusterroles")
CRON_JOBS = resource("batch", "v1", "cronjobs")


def texts(errors):
    return [error.text for error in errors]


def of(kind=CONFIG_MAPS, **metadata):
    base = {"name": "a", "namespace": "default"} if kind.namespaced else {"name": "a"}
    merged = {key: value for key, value in {**base, **metadata}.items() if value is not None}
    return texts(validation.create(kind, {"metadata": merged}))


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ({}, []),
        ({"name": None}, ["metadata.name: Required value: name or generateName is required"]),
        ({"namespace": None}, ["metadata.namespace: Required value"]),
        ({"namespace": "a.b"}, ['metadata.namespace: Invalid value: "a.b": must not contain dots']),
        ({"generation": -1}, ["metadata.generation: Invalid value: -1: must be greater than or equal to 0"]),
        ({"generateName": "web-"}, []),
        ({"labels": {"app.kubernetes.io/name": "web", "x": ""}}, []),
        (
            {"labels": {"x/": "y"}},
            [
                'metadata.labels: Invalid value: "x/": name part must be non-empty',
                'metadata.labels: Invalid value: "x/": name part must consist of alphanumeric characters, '
                "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or "
                "'my.name',  or '123-abc', regex used for validation is "
                "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ],
        ),
        (
            {"labels": {"x": "y" * 64}},
            [f'metadata.labels: Invalid value: "{"y" * 64}": must be no more than 63 characters'],
        ),
        ({"annotations": {"UPPER.example.com/x": "any\nthing"}}, []),
        (
            {"annotations": {"x": "y" * 262144}},
            ["metadata.annotations: Too long: may not be more than 262144 bytes"],
        ),
        (
            {"finalizers": ["orphan", "foregroundDeletion"]},
            [
                'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and '
                "foregroundDeletion cannot be both set"
            ],
        ),
        (
            {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a"}]},
            ['metadata.ownerReferences.uid: Invalid value: "": must not be empty'],
        ),
        (
            {"managedFields": [{"operation": "X"}]},
            ['metadata.managedFields[0].operation: Invalid value: "X": must be `Apply` or `Update`'],
        ),
    ],
)
def test_metadata_of_new_objects(metadata, found):
    assert of(**metadata) == found


def test_two_controllers_cannot_own_one_object():
    owners = [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": name, "controller": True}
        for name in ("a", "b")
    ]
    (found,) = of(ownerReferences=owners)
    assert found.endswith(
        "Only one reference can have Controller set to true. "
        'Found "true" in references for ReplicaSet/a and ReplicaSet/b'
    )


@pytest.mark.parametrize(
    ("kind", "name", "good"),
    [
        (SERVICES, "web", True),
        (SERVICES, "1web", False),
        (SERVICES, "web.a", False),
        (NAMESPACES, "1web", True),
        (NAMESPACES, "a.b", False),
        (NODES, "node.a", True),
        (NODES, "Node", False),
        (CLUSTER_ROLES, "system:node:X", True),
        (CLUSTER_ROLES, "a/b", False),
        (CRON_JOBS, "a" * 53, False),
    ],
)
def test_forms_of_names_by_kind(kind, name, good):
    found = [text for text in of(kind, name=name) if text.startswith("metadata.name")]
    assert (not found) == good


def test_cluster_scoped_objects_have_no_namespace():
    assert of(NODES, namespace="default") == ["metadata.namespace: Forbidden: not allowed on this type"]


OLD = {
    "name": "a",
    "namespace": "default",
    "uid": "u",
    "creationTimestamp": "2025-01-01T00:00:00Z",
    "resourceVersion": "5",
    "generation": 2,
}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"uid": None, "creationTimestamp": None}, []),
        ({"uid": "x"}, ['metadata.uid: Invalid value: "x": field is immutable']),
        (
            {"creationTimestamp": "2025-01-02T00:00:00Z"},
            ['metadata.creationTimestamp: Invalid value: "2025-01-02T00:00:00Z": field is immutable'],
        ),
        ({"name": "b"}, ['metadata.name: Invalid value: "b": field is immutable']),
        ({"generation": 1}, ["metadata.generation: Invalid value: 1: must not be decremented"]),
        (
            {"deletionTimestamp": "2025-01-02T00:00:00Z"},
            ['metadata.deletionTimestamp: Invalid value: "2025-01-02T00:00:00Z": field is immutable'],
        ),
    ],
)
def test_what_the_server_owns_does_not_change(change, found):
    new = {key: value for key, value in {**OLD, **change}.items() if value is not None}
    assert texts(validation.update(CONFIG_MAPS, {"metadata": new}, {"metadata": OLD})) == found


def test_no_finalizers_are_added_to_what_is_going():
    old = {**OLD, "deletionTimestamp": "2025-01-01T00:00:01Z", "finalizers": ["a.b/c"]}
    new = {**old, "finalizers": ["a.b/c", "a.b/d"]}
    assert texts(validation.update(CONFIG_MAPS, {"metadata": new}, {"metadata": old})) == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
        'found new finalizers []string{"a.b/d"}'
    ]


def test_a_lease_is_renewed_only_by_who_has_seen_it():
    new = {"metadata": {**OLD, "resourceVersion": ""}, "spec": {}}
    assert texts(validation.update(LEASES, new, {"metadata": OLD, "spec": {}})) == [
        'metadata.resourceVersion: Invalid value: "": must be specified for an update'
    ]
