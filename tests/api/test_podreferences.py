"""What a Pod needs of the API."""

from __future__ import annotations

import pytest

from sampan.api.podreferences import api_references


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("serviceAccountName", "default", "serviceaccounts"),
        ("imagePullSecrets", [{"name": "s"}], "secrets"),
        ("resourceClaims", [{"name": "c"}], "resourceclaims"),
        ("volumes", [{"name": "v", "secret": {"secretName": "s"}}], "secrets"),
        ("volumes", [{"name": "v", "configMap": {"name": "c"}}], "configmaps"),
        ("volumes", [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}], "persistentvolumeclaims"),
        ("volumes", [{"name": "v", "ephemeral": {"volumeClaimTemplate": {}}}], "persistentvolumeclaims"),
        (
            "volumes",
            [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "s"}}}],
            "secrets",
        ),
        (
            "volumes",
            [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}],
            "serviceaccounts",
        ),
    ],
)
def test_fields_that_refer(field: str, value: object, kind: str) -> None:
    assert list(api_references({"containers": [], field: value})) == [kind]


@pytest.mark.parametrize(
    ("container", "kind"),
    [
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}, "secrets"),
        ({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]}, "configmaps"),
        ({"envFrom": [{"secretRef": {"name": "s"}}]}, "secrets"),
        ({"envFrom": [{"configMapRef": {"name": "c"}}]}, "configmaps"),
    ],
)
def test_environments_that_refer(container: dict[str, object], kind: str) -> None:
    spec = {"initContainers": [{"name": "i", **container}], "containers": [{"name": "c"}]}
    assert list(api_references(spec)) == [kind]


def test_what_the_node_has_by_itself_is_no_reference() -> None:
    own = [
        {"name": "a", "emptyDir": {}},
        {"name": "b", "hostPath": {"path": "/x"}},
        {"name": "d", "downwardAPI": {}},
    ]
    env = [
        {"name": "A", "value": "x"},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    assert not list(api_references({"containers": [{"name": "c", "env": env}], "volumes": own}))
