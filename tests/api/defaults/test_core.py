from sampan.api import defaults
from sampan.api.resources import NAMESPACES, NODES, SECRETS, resource


def of(kind, **obj):
    obj.setdefault("metadata", {})
    defaults.apply(kind, obj)
    return obj


def test_namespace():
    assert of(NAMESPACES, metadata={"name": "a"}) == {
        "metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def test_a_namespace_on_its_way_out_keeps_its_shrinking_finalizers():
    leaving = {"name": "a", "deletionTimestamp": "2025-01-01T00:00:00Z"}
    assert "finalizers" not in of(NAMESPACES, metadata=leaving, spec={})["spec"]


def test_string_data_wins_and_is_gone():
    found = of(SECRETS, data={"a": "eA==", "b": "eQ=="}, stringData={"a": "new"})
    assert found["data"] == {"a": "bmV3", "b": "eQ=="}
    assert "stringData" not in found
    assert found["type"] == "Opaque"


def test_node():
    found = of(NODES, spec={"podCIDR": "10.0.0.0/24"}, status={"capacity": {"cpu": "2"}})
    assert found["status"]["allocatable"] == {"cpu": "2"}
    assert found["spec"]["podCIDRs"] == ["10.0.0.0/24"]


def test_limit_range():
    limit = {"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}
    found = of(resource("", "v1", "limitranges"), spec={"limits": [limit]})["spec"]["limits"][0]
    assert found["default"] == {"cpu": "2"}
    assert found["defaultRequest"] == {"cpu": "2", "memory": "1Mi"}


def test_replication_controller_takes_selector_and_labels_from_its_template():
    template = {"metadata": {"labels": {"app": "web"}}}
    found = of(resource("", "v1", "replicationcontrollers"), spec={"template": template})
    assert found["spec"]["selector"] == found["metadata"]["labels"] == {"app": "web"}
    assert found["spec"]["replicas"] == 1
