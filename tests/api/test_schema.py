from __future__ import annotations

import pytest

from sampan.api import resources, schema


def test_every_resource_and_list_kind_has_a_definition() -> None:
    missing = [
        (resource.api_version, kind)
        for resource in resources.all_resources()
        for kind in (resource.kind, resource.list_kind)
        if kind and schema.find(resource.api_version, kind) is None
    ]
    assert missing == []


def test_every_reference_leads_to_a_definition() -> None:
    built_in = schema.built_in()
    seen: set[str] = set()
    for resource in resources.all_resources():
        found = schema.find(resource.api_version, resource.kind)
        assert found is not None
        waiting = [found]
        while waiting:
            definition = waiting.pop()
            if definition.name in seen:
                continue
            seen.add(definition.name)
            for field in definition.fields.values():
                type_ = field.type
                while type_.element is not None:
                    type_ = type_.element
                if type_.code in ("object", "schema-or"):
                    waiting.append(type_.definition)
    assert len(seen) > 500
    assert built_in.definition("io.k8s.api.core.v1.Pod") is built_in.definition("io.k8s.api.core.v1.Pod")


@pytest.mark.parametrize(
    ("definition", "field", "expected"),
    [
        ("core.v1.PodSpec", "containers", ("list", "map", ("name",), ("merge",), "name")),
        ("core.v1.PodSpec", "volumes", ("list", "map", ("name",), ("merge", "retainKeys"), "name")),
        ("core.v1.PodSpec", "tolerations", ("list", "atomic", (), (), "")),
        ("core.v1.ServiceSpec", "ports", ("list", "map", ("port", "protocol"), ("merge",), "port")),
        ("apps.v1.DeploymentSpec", "strategy", ("object", "", (), ("retainKeys",), "")),
        ("core.v1.Container", "imagePullPolicy", ("string", "", (), (), "")),
    ],
)
def test_marks_of_fields(definition: str, field: str, expected: tuple[object, ...]) -> None:
    found = schema.definition(f"io.k8s.api.{definition}").fields[field]
    marks = (found.list_type, found.list_map_keys, found.patch_strategies, found.patch_merge_key)
    assert (found.type.code, *marks) == expected


def test_facts_for_merging() -> None:
    assert schema.definition("io.k8s.api.core.v1.ContainerPort").fields["protocol"].default == "TCP"
    assert schema.definition("io.k8s.api.core.v1.PodSpec").fields["nodeSelector"].map_type == "atomic"
    assert schema.definition("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector").map_type == "atomic"
    assert schema.definition("io.k8s.api.core.v1.ServicePort").required == ("port",)


def test_types_carry_the_names_go_has_for_them() -> None:
    fields = schema.definition("io.k8s.api.core.v1.PodSpec").fields
    assert fields["containers"].type.go_name == "[]v1.Container"
    assert fields["nodeSelector"].type.go_name == "map[string]string"
    assert fields["restartPolicy"].type.go_name == "v1.RestartPolicy"
    assert fields["activeDeadlineSeconds"].type.go_name == "int64"


def test_kinds_outside_the_published_document_are_known() -> None:
    for api_version, kind in [
        ("v1", "List"),
        ("v1", "DeleteOptions"),
        ("meta.k8s.io/v1", "PartialObjectMetadata"),
        ("meta.k8s.io/v1", "Table"),
        ("autoscaling/v1", "Scale"),
        ("policy/v1", "Eviction"),
        ("authentication.k8s.io/v1", "TokenRequest"),
        ("v1", "Binding"),
    ]:
        assert schema.find(api_version, kind) is not None, (api_version, kind)
    assert schema.find("v1", "Nothing") is None
