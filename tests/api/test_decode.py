from __future__ import annotations

import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import decode, resources, schema
from sampan.api.decode import IGNORE, STRICT, WARN
from sampan.api.errors import StatusError
from sampan.api.resources import Resource
from sampan.api.schema import Definition, Field, Type

JSON = "application/json"
YAML = "application/yaml"


def refusal(
    data: bytes, resource: Resource = resources.PODS, content_type: str = JSON, **options: Any
) -> StatusError:
    with pytest.raises(StatusError) as caught:
        decode.decode(data, content_type, resource, **options)
    return caught.value


def test_a_body_becomes_an_object_of_the_resource() -> None:
    obj, warnings = decode.decode(
        b'{"metadata":{"name":"a"},"spec":{"containers":null}}', JSON, resources.PODS
    )
    assert obj == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {}}
    assert warnings == []


def test_metadata_is_always_there() -> None:
    obj, _ = decode.decode(b'{"metadata":null}', JSON, resources.PODS)
    assert obj["metadata"] == {}


BODY = b"""{"apiVersion":"apps/v1","kind":"Deployment","spec":{"replicass":1,"template":{"spec":{
    "containers":[{"nam":"a","name":"a","name":"b"}],"nodeSelector":{"a":"1","a":"2"}}},"replicas":1,"replicas":2}}"""
FOUND = [
    'unknown field "spec.replicass"',
    'unknown field "spec.template.spec.containers[0].nam"',
    'duplicate field "spec.template.spec.containers[0].name"',
    'duplicate field "spec.template.spec.nodeSelector.a"',
    'duplicate field "spec.replicas"',
]


def test_warn_drops_unknown_fields_and_says_so() -> None:
    obj, warnings = decode.decode(BODY, JSON, resources.DEPLOYMENTS, None, WARN)
    assert warnings == FOUND
    assert obj["spec"]["replicas"] == 2
    assert obj["spec"]["template"]["spec"]["containers"] == [{"name": "b"}]


def test_ignore_drops_unknown_fields_silently() -> None:
    obj, warnings = decode.decode(BODY, JSON, resources.DEPLOYMENTS, None, IGNORE)
    assert warnings == []
    assert "replicass" not in obj["spec"]


def test_strict_refuses() -> None:
    error = refusal(BODY, resources.DEPLOYMENTS, field_validation=STRICT)
    assert (error.code, error.reason) == (400, "BadRequest")
    assert error.message == (
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
        + ", ".join(FOUND)
    )


def test_strict_errors_are_counted_to_a_hundred() -> None:
    body = orjson.dumps({"spec": {f"x{number}": 1 for number in range(500)}})
    _, warnings = decode.decode(body, JSON, resources.PODS)
    assert len(warnings) == 100


def test_yaml_bodies() -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, name: b, foo: c}\ndata: {x: 'yes'}\n"
    obj, warnings = decode.decode(text, YAML, resources.CONFIG_MAPS)
    assert obj["data"] == {"x": "yes"}
    assert warnings == [
        'yaml: unmarshal errors:\n  line 3: key "name" already set in map',
        'unknown field "metadata.foo"',
    ]
    error = refusal(b"kind: ConfigMap\ndata: {x: yes}", resources.CONFIG_MAPS, YAML)
    assert error.message == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: '
        "json: cannot unmarshal bool into Go struct field ConfigMap.data of type string"
    )


OTHER = "the object provided is unrecognized (must be of type Pod): "
NO_META = "couldn't get version/kind; json parse error: "


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", f"{OTHER}{NO_META}unexpected end of JSON input (<empty>)"),
        (b"hello", f"{OTHER}{NO_META}invalid character 'h' looking for beginning of value (68656c6c6f)"),
        (b'{"a":1}x', f"{OTHER}{NO_META}invalid character 'x' after top-level value ({{\"a\":1}}x)"),
        (
            b'{"apiVersion":1,"kind":"Pod"}',
            f"{OTHER}{NO_META}json: cannot unmarshal number into Go struct field .apiVersion of type string "
            '({"apiVersion":1,"kind":"Pod"})',
        ),
        (
            b'{"apiVersion":"a/b/c","kind":"Pod"}',
            f'{OTHER}unexpected GroupVersion string: a/b/c ({{"apiVersion":"a/b/c","kind":" ...)',
        ),
        (
            b'{"apiVersion":"v1","kind":"Foo"}',
            'Foo in version "v1" cannot be handled as a Pod: '
            'no kind "Foo" is registered for version "v1" in scheme "sampan"',
        ),
        (
            b'{"apiVersion":"v1","kind":"Service"}',
            'Service in version "v1" cannot be handled as a Pod: '
            "converting (v1.Service) to (core.Pod): unknown conversion",
        ),
        (
            b'{"apiVersion":"v2"}',
            'Pod in version "v2" cannot be handled as a Pod: '
            'no kind "Pod" is registered for version "v2" in scheme "sampan"',
        ),
        (
            b'{"spec":{"hostNetwork":"x"}}',
            'Pod in version "v1" cannot be handled as a Pod: '
            "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool",
        ),
    ],
)
def test_what_is_no_pod(data: bytes, message: str) -> None:
    error = refusal(data)
    assert (error.code, error.message) == (400, message)


@pytest.mark.parametrize(
    ("data", "kind"), [(b"[]", "array"), (b'"x"', "string"), (b"1", "number"), (b"true", "bool")]
)
def test_what_is_no_object(data: bytes, kind: str) -> None:
    assert f"json: cannot unmarshal {kind} into Go value of type struct" in refusal(data).message


def test_other_versions_of_the_kind_are_told_apart() -> None:
    autoscalers = resources.resource("autoscaling", "v2", "horizontalpodautoscalers")
    error = refusal(b'{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler"}', autoscalers)
    assert error.message == (
        "the API version in the data (autoscaling/v1) "
        "does not match the expected API version (autoscaling/v2)"
    )


def test_kinds_of_subresources_and_options() -> None:
    scale = ("autoscaling/v1", "Scale")
    obj, _ = decode.decode(b'{"spec":{"replicas":3}}', JSON, resources.DEPLOYMENTS, scale)
    assert (obj["apiVersion"], obj["kind"], obj["spec"]) == (*scale, {"replicas": 3})
    options = ("v1", "DeleteOptions")
    body = b'{"apiVersion":"apps/v1","kind":"DeleteOptions","gracePeriodSeconds":0}'
    obj, _ = decode.decode(body, JSON, resources.DEPLOYMENTS, options)
    assert obj["gracePeriodSeconds"] == 0
    assert "metadata" not in obj


def test_unknown_media_type() -> None:
    assert refusal(b"x", content_type="text/csv").code == 415


class OneKind:
    """A custom resource's schema, as another source would offer it."""

    def find(self, api_version: str, kind: str) -> Definition | None:
        if (api_version, kind) != ("example.com/v1", "Widget"):
            return None
        size = Definition("com.example.v1.Size", {"width": Field("width", Type("int64"))})
        return Definition(
            "com.example.v1.Widget",
            {
                "apiVersion": Field("apiVersion", Type("string")),
                "kind": Field("kind", Type("string")),
                "metadata": schema.unknown_kind().fields["metadata"],
                "size": Field("size", Type("object", definition=size)),
            },
        )


def test_definitions_can_come_from_elsewhere() -> None:
    widgets = Resource("example.com", "v1", "Widget", "widgets", "widget", True)
    obj, warnings = decode.decode(b'{"size":{"width":1,"x":2}}', JSON, widgets, schemas=OneKind())
    assert obj["size"] == {"width": 1}
    assert warnings == ['unknown field "size.x"']


def test_kinds_without_definition_keep_everything_but_metadata_is_checked() -> None:
    widgets = Resource("example.com", "v1", "Widget", "widgets", "widget", True)
    obj, warnings = decode.decode(b'{"metadata":{"x":1},"free":[{"a":null}]}', JSON, widgets)
    assert obj["free"] == [{"a": None}]
    assert warnings == ['unknown field "metadata.x"']


def test_prune_after_a_patch_says_invalid() -> None:
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"hostNetwork": "x"}}
    with pytest.raises(StatusError) as caught:
        decode.prune(obj, "v1", "Pod", of_patch=True)
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")
    (cause,) = caught.value.status["details"]["causes"]
    assert cause["field"] == "patch"
    assert cause["message"].startswith('Invalid value: "{')
    assert cause["message"].endswith("Go struct field PodSpec.spec.hostNetwork of type bool")


def test_a_strategic_patch_is_shown_as_it_was_sent() -> None:
    for change, reason in (
        ({"spec": {"hostNetwork": "x"}}, "unrecognized type: bool"),
        ({"spec": {"nodeName": 3}}, "cannot convert int64 to string"),
        ({"spec": {"hostnetwork": 1}}, 'strict decoding error: unknown field "spec.hostnetwork"'),
    ):
        obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": dict(change["spec"])}
        with pytest.raises(StatusError) as caught:
            decode.prune(obj, "v1", "Pod", STRICT, of_patch=True, merged=change)
        (cause,) = caught.value.status["details"]["causes"]
        ((name, value),) = change["spec"].items()
        assert cause["message"] == f'Invalid value: "map[spec:map[{name}:{value}]]": {reason}'


def test_prune_strict_and_lenient() -> None:
    broken = {"metadata": {}, "x": 1}
    assert decode.prune(dict(broken), "v1", "Pod", IGNORE) == []
    assert decode.prune(dict(broken), "v1", "Pod") == ['unknown field "x"']
    with pytest.raises(StatusError, match='strict decoding error: unknown field "x"'):
        decode.prune(dict(broken), "v1", "Pod", STRICT)


# --- properties ---

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "metadata",
                    "spec",
                    "name",
                    "labels",
                    "containers",
                    "env",
                    "resources",
                    "limits",
                    "replicas",
                    "template",
                    "x",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


def decoded_or_refused(data: bytes, content_type: str) -> None:
    for resource in (resources.PODS, resources.SECRETS, resources.DEPLOYMENTS):
        for field_validation in decode.FIELD_VALIDATIONS:
            try:
                obj, _ = decode.decode(data, content_type, resource, None, field_validation)
            except StatusError as error:
                assert error.code == 400
            else:
                orjson.dumps(obj)


@given(st.binary(max_size=60), st.sampled_from([JSON, YAML]))
def test_arbitrary_bytes_are_decoded_or_refused(data: bytes, content_type: str) -> None:
    decoded_or_refused(data, content_type)


@given(VALUES, st.sampled_from([JSON, YAML]))
def test_arbitrary_values_are_decoded_or_refused(value: Any, content_type: str) -> None:
    decoded_or_refused(json.dumps(value).encode(), content_type)


@given(VALUES)
def test_decoding_twice_changes_nothing(value: Any) -> None:
    try:
        once, _ = decode.decode(json.dumps(value).encode(), JSON, resources.PODS)
    except StatusError:
        return
    twice, warnings = decode.decode(orjson.dumps(once), JSON, resources.PODS, None, STRICT)
    assert twice == once
    assert warnings == []


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"spec":', b'{"spec":[{"spec":'])
def test_deep_nesting_is_refused(opening: bytes) -> None:
    for depth in (250, 900, 5_000, 100_000):
        assert refusal(opening * depth).code == 400
        assert refusal(opening * depth, content_type=YAML).code == 400


def test_deep_schemas_within_the_limit_are_walked() -> None:
    definitions = resources.resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")
    inner: dict[str, Any] = {"type": "object"}
    for _ in range(90):
        inner = {"properties": {"a": inner}}
    body = orjson.dumps({"spec": {"versions": [{"schema": {"openAPIV3Schema": inner}}]}})
    obj, _ = decode.decode(body, JSON, definitions)
    assert obj["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == inner


def test_a_pod_is_decoded_at_once() -> None:
    container = {
        "name": "a",
        "image": "nginx:1.27",
        "env": [{"name": f"VARIABLE_{number}", "value": "x" * 20} for number in range(20)],
        "ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"}],
        "resources": {"limits": {"cpu": "100m", "memory": "128Mi"}},
    }
    body = orjson.dumps(
        {"metadata": {"name": "a", "labels": {"app": "web"}}, "spec": {"containers": [container] * 2}}
    )
    assert len(body) > 2_500
    best_s = 1.0
    for _ in range(50):
        start = time.perf_counter()
        decode.decode(body, JSON, resources.PODS, None, STRICT)
        best_s = min(best_s, time.perf_counter() - start)
    assert best_s < 1e-2  # alone a tenth of it; what is slow is slower than any machine
