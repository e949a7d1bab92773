"""What lies at which path of a volume that shows API objects."""

from __future__ import annotations

import base64

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.volumes.payload import (
    Context,
    File,
    Payload,
    PayloadError,
    checked_path,
    payload,
    token_requests,
)

OBJECTS = {
    ("configmap", "cm"): {
        "data": {"a": "1", "b": "2"},
        "binaryData": {"c": base64.b64encode(b"\x00").decode()},
    },
    ("secret", "s"): {"data": {"k": base64.b64encode(b"v").decode()}},
}
POD: Obj = {
    "metadata": {"name": "web", "namespace": "ns", "labels": {"app": "x"}},
    "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1500m"}}}]},
}
CONTEXT = Context(POD, lambda kind, name: OBJECTS.get((kind, name)), {("", 3607): "jwt"}, {"memory": "1Gi"})


def of(**volume: Obj) -> Payload:
    return payload({"name": "v", **volume}, CONTEXT)


def test_all_keys() -> None:
    assert of(configMap={"name": "cm"}) == {"a": File(b"1"), "b": File(b"2"), "c": File(b"\x00")}


def test_items_and_modes() -> None:
    items = [{"key": "a", "path": "x/y"}, {"key": "b", "path": "z", "mode": 0o400}]
    found = of(configMap={"name": "cm", "items": items, "defaultMode": 0o600})
    assert found == {"x/y": File(b"1", 0o600), "z": File(b"2", 0o400)}


def test_projected_puts_all_in_one_place() -> None:
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "cm", "items": [{"key": "a", "path": "ca.crt"}]}},
        {"secret": {"name": "s"}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    found = of(projected={"sources": sources})
    assert {path: file.data for path, file in found.items()} == {
        "token": b"jwt",
        "ca.crt": b"1",
        "k": b"v",
        "namespace": b"ns",
    }
    assert token_requests({"projected": {"sources": sources}}) == [("", 3607)]


def test_downward_api() -> None:
    items = [
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}},
        {"path": "memory", "resourceFieldRef": {"containerName": "c", "resource": "limits.memory"}},
    ]
    found = of(downwardAPI={"items": items})
    assert [file.data for file in found.values()] == [b'app="x"', b"2", b"1073741824"]


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "no"}}, 'configmap "no" not found'),
        ({"secret": {"secretName": "no"}}, 'secret "no" not found'),
        (
            {"configMap": {"name": "cm", "items": [{"key": "z", "path": "z"}]}},
            "configmap references non-existent config key: z",
        ),
        (
            {"secret": {"secretName": "s", "items": [{"key": "z", "path": "z"}]}},
            "references non-existent secret key: z",
        ),
    ],
)
def test_what_is_missing_is_named(volume: Obj, message: str) -> None:
    with pytest.raises(PayloadError) as caught:
        of(**volume)
    assert str(caught.value) == message
    source = next(iter(volume.values()))
    source["optional"] = True
    assert of(**volume) == {}


@pytest.mark.parametrize("path", ["", "/etc", "../x", "a/../b", "..data", "..x/y"])
def test_paths_stay_inside(path: str) -> None:
    with pytest.raises(PayloadError):
        checked_path(path)


TOKEN: Obj = {
    "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3607}}],
    "defaultMode": 0o644,
}


@pytest.mark.parametrize(
    ("security", "own", "expected"),
    [
        ({}, [{}], File(b"jwt")),
        ({"fsGroup": 5}, [{}], File(b"jwt", 0o600)),
        ({"runAsUser": 7}, [{}, {}], File(b"jwt", 0o600, 7)),
        ({"runAsUser": 7}, [{"runAsUser": 8}, {"runAsUser": 8}], File(b"jwt", 0o600, 8)),
        ({"runAsUser": 7}, [{"runAsUser": 8}, {}], File(b"jwt")),
        ({}, [{"runAsUser": 8}, {}], File(b"jwt")),
    ],
)
def test_whose_a_token_is(security: Obj, own: list[Obj], expected: File) -> None:
    containers = [{"name": f"c{number}", "securityContext": context} for number, context in enumerate(own)]
    pod: Obj = {"metadata": {}, "spec": {"securityContext": security, "containers": containers}}
    context = Context(pod, lambda kind, name: None, {("", 3607): "jwt"}, {})
    assert payload({"name": "v", "projected": TOKEN}, context) == {"t": expected}


@pytest.mark.parametrize(
    ("volume", "complaint"),
    [
        (
            {"projected": {"sources": [{"clusterTrustBundle": {"path": "p"}}]}},
            "projected source clusterTrustBundle is not",
        ),
        (
            {"downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "spec.x"}}]}},
            "unsupported fieldPath: spec.x",
        ),
    ],
)
def test_what_cannot_be_shown(volume: Obj, complaint: str) -> None:
    with pytest.raises(PayloadError, match=complaint):
        of(**volume)


def test_the_later_source_wins() -> None:
    one: Obj = {"secret": {"name": "s", "items": [{"key": "k", "path": "a"}]}}
    assert of(projected={"sources": [one, {"configMap": {"name": "cm"}}]})["a"] == File(b"1")
    assert of(projected={"sources": [{"configMap": {"name": "cm"}}, one]})["a"] == File(b"v")
