from __future__ import annotations

from typing import Any

import pytest

from sampan.api import schema, walk


def prune(kind: str, obj: dict[str, Any], api_version: str = "v1") -> list[str]:
    definition = schema.find(api_version, kind)
    assert definition is not None
    return walk.prune(obj, definition)


def pod(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}


def test_unknown_fields_go_and_are_named_with_their_path() -> None:
    obj = pod(
        {
            "bogus": {"x": 1},
            "containers": [{"name": "a"}, {"nam": "b", "env": [{"name": "x", "valueFrom": {"y": 1}}]}],
            "volumes": [{"emptyDir": {"size": 1}}],
        }
    )
    unknown = prune("Pod", obj)
    assert unknown == [
        'unknown field "spec.bogus"',
        'unknown field "spec.containers[1].nam"',
        'unknown field "spec.containers[1].env[0].valueFrom.y"',
        'unknown field "spec.volumes[0].emptyDir.size"',
    ]
    assert obj["spec"]["containers"][1] == {"env": [{"name": "x", "valueFrom": {}}]}


def test_field_names_are_case_sensitive() -> None:
    assert prune("Pod", pod({"Containers": []})) == ['unknown field "spec.Containers"']


def test_map_keys_stand_in_paths_of_unknown_fields() -> None:
    obj = {"spec": {"capacity": {}, "x": 1}, "status": {"allocation": {"devices": {}}}}
    assert prune("ResourceClaim", obj, "resource.k8s.io/v1") == [
        'unknown field "spec.capacity"',
        'unknown field "spec.x"',
    ]


def test_null_is_absent_in_structs_and_zero_in_lists_and_maps() -> None:
    obj = pod(
        {"hostNetwork": None, "nodeSelector": {"a": None}, "containers": [None, {"command": ["a", None]}]}
    )
    assert prune("Pod", obj) == []
    assert obj["spec"] == {"nodeSelector": {"a": ""}, "containers": [{}, {"command": ["a", ""]}]}


def test_free_form_values_stay_as_they_are() -> None:
    obj = {"data": {"anything": [None, {"x": None}]}, "revision": 1}
    assert prune("ControllerRevision", obj, "apps/v1") == []
    assert obj["data"] == {"anything": [None, {"x": None}]}


def test_structs_without_fields_take_none() -> None:
    obj = {"spec": {"versions": [{"name": "v1", "subresources": {"status": {"x": 1}}}]}}
    assert prune("CustomResourceDefinition", obj, "apiextensions.k8s.io/v1") == [
        'unknown field "spec.versions[0].subresources.status.x"'
    ]


def test_schemas_within_schemas_are_walked() -> None:
    schema_ = {
        "properties": {"a": {"items": {"x": 1}, "additionalProperties": False, "default": {"y": None}}}
    }
    obj = {"spec": {"versions": [{"schema": {"openAPIV3Schema": schema_}}]}}
    (unknown,) = prune("CustomResourceDefinition", obj, "apiextensions.k8s.io/v1")
    assert unknown == 'unknown field "spec.versions[0].schema.openAPIV3Schema.properties.a.items.x"'
    assert schema_["properties"]["a"] == {"items": {}, "additionalProperties": False, "default": {"y": None}}


def test_scalars_become_canonical() -> None:
    obj = pod({"containers": [{"resources": {"limits": {"cpu": 0.5, "memory": "1024Mi", "x": None}}}]})
    obj["metadata"]["creationTimestamp"] = "2020-01-01T01:00:00.5+01:00"
    prune("Pod", obj)
    assert obj["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m", "memory": "1Gi", "x": "0"}
    assert obj["metadata"]["creationTimestamp"] == "2020-01-01T00:00:00Z"


# Each line is what upstream's decoder (apimachinery 0.35) says to the same input.
WRONG_TYPES: list[tuple[str, str, dict[str, Any], str]] = [
    (
        "apps/v1",
        "Deployment",
        {"replicas": "3"},
        "string into Go struct field DeploymentSpec.spec.replicas of type int32",
    ),
    (
        "apps/v1",
        "Deployment",
        {"replicas": 1.5},
        "number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
    ),
    (
        "apps/v1",
        "Deployment",
        {"replicas": 99999999999},
        "number 99999999999 into Go struct field DeploymentSpec.spec.replicas of type int32",
    ),
    (
        "apps/v1",
        "Deployment",
        {"replicas": True},
        "bool into Go struct field DeploymentSpec.spec.replicas of type int32",
    ),
    (
        "apps/v1",
        "Deployment",
        {"replicas": []},
        "array into Go struct field DeploymentSpec.spec.replicas of type int32",
    ),
    (
        "apps/v1",
        "Deployment",
        {"template": {"spec": {"containers": [{"env": [{"name": "x", "value": 1}]}]}}},
        "number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string",
    ),
    (
        "apps/v1",
        "Deployment",
        {"template": {"spec": {"containers": [{"imagePullPolicy": 1}]}}},
        "number into Go struct field "
        "Container.spec.template.spec.containers.imagePullPolicy of type v1.PullPolicy",
    ),
    (
        "apps/v1",
        "Deployment",
        {"template": {"spec": {"containers": {"name": "a"}}}},
        "object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
    ),
    (
        "apps/v1",
        "Deployment",
        {"template": {"spec": {"containers": ["a"]}}},
        "string into Go struct field PodSpec.spec.template.spec.containers of type v1.Container",
    ),
    (
        "apps/v1",
        "Deployment",
        {"template": {"metadata": {"labels": {"a": 1}}}},
        "number into Go struct field ObjectMeta.spec.template.metadata.labels of type string",
    ),
    (
        "apps/v1",
        "Deployment",
        {"template": {"metadata": {"labels": ["a"]}}},
        "array into Go struct field ObjectMeta.spec.template.metadata.labels of type map[string]string",
    ),
    (
        "apps/v1",
        "Deployment",
        {"strategy": {"rollingUpdate": {"maxSurge": True}}},
        "bool into Go struct field "
        "RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge of type int32",
    ),
    ("v1", "Pod", {"hostNetwork": 1}, "number into Go struct field PodSpec.spec.hostNetwork of type bool"),
]


@pytest.mark.parametrize(("api_version", "kind", "spec", "complaint"), WRONG_TYPES)
def test_wrong_types_are_refused_in_upstreams_words(
    api_version: str, kind: str, spec: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(walk.Mismatch) as caught:
        prune(kind, {"spec": spec}, api_version)
    assert str(caught.value) == f"json: cannot unmarshal {complaint}"


@pytest.mark.parametrize(
    ("obj", "complaint"),
    [
        ({"data": {"a": "%%%"}}, "illegal base64 data at input byte 0"),
        (
            {"data": {"a": 1}},
            "json: cannot unmarshal number into Go struct field Secret.data of type []uint8",
        ),
        (
            {"metadata": []},
            "json: cannot unmarshal array into Go struct field Secret.metadata of type v1.ObjectMeta",
        ),
        (
            {"metadata": {"creationTimestamp": 1}},
            "json: cannot unmarshal number into Go struct field "
            "ObjectMeta.metadata.creationTimestamp of type string",
        ),
    ],
)
def test_wrong_secrets(obj: dict[str, Any], complaint: str) -> None:
    with pytest.raises(walk.Mismatch) as caught:
        prune("Secret", obj)
    assert str(caught.value) == complaint
