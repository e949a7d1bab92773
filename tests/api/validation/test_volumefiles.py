"""Projected volumes: their sources, and the paths that these claim."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.validation import volumefiles

TOKEN = {"path": "t", "expirationSeconds": 3600}
SIGNER = "example.com/s"
SHORT, LONG = (
    "may not specify a duration less than 10 minutes",
    "may not specify a duration larger than 2^32 seconds",
)


def complaints(*sources: dict[str, Any], **more: Any) -> list[str]:
    return [error.text for error in volumefiles.projected("p", {"sources": list(sources), **more})]


def keys(name: str, *paths: str) -> dict[str, Any]:
    return {"name": name, "items": [{"key": "k", "path": path} for path in paths]}


def test_what_is_good() -> None:
    assert complaints() == []
    assert (
        complaints(
            {"configMap": keys("c", "a", "b/c")},
            {"secret": {"name": "s"}},
            {"serviceAccountToken": TOKEN},
            {
                "downwardAPI": {
                    "items": [{"path": "d", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}]
                }
            },
            {"clusterTrustBundle": {"signerName": SIGNER, "path": "ca"}},
            {"podCertificate": {"signerName": SIGNER, "keyType": "ED25519", "credentialBundlePath": "x"}},
            defaultMode=0o400,
        )
        == []
    )


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ({}, ["p.sources[0]: Forbidden: may not specify an empty projection"]),
        ({"secret": {}}, ["p.sources[0].secret.name: Required value"]),
        (
            {"secret": {"name": "s"}, "configMap": {"name": "c"}},
            ["p.sources[0]: Forbidden: may not specify more than 1 volume type per source"],
        ),
        ({"configMap": keys("c", "a", "a")}, ['p: Invalid value: "c": conflicting duplicate paths']),
        ({"serviceAccountToken": TOKEN | {"path": ""}}, ["p.path: Required value"]),
        (
            {"serviceAccountToken": TOKEN | {"path": "../t"}},
            ["p.path: Invalid value: \"../t\": must not contain '..'"],
        ),
        (
            {"serviceAccountToken": TOKEN | {"expirationSeconds": 599}},
            [f"p.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 599: {SHORT}"],
        ),
        (
            {"serviceAccountToken": TOKEN | {"expirationSeconds": 2**32 + 1}},
            [f"p.sources[0].serviceAccountToken.expirationSeconds: Invalid value: {2**32 + 1}: {LONG}"],
        ),
        (
            {"clusterTrustBundle": {"path": "p"}},
            ["p.sources[0].clusterTrustBundle: Required value: either name or signerName must be specified"],
        ),
        ({"clusterTrustBundle": {"name": "b"}}, ["p.sources[0].clusterTrustBundle.path: Required value"]),
        (
            {"podCertificate": {"signerName": SIGNER, "keyPath": "k"}},
            [
                'p.sources[0].podCertificate.keyType: Unsupported value: "": supported values: "ECDSAP256", '
                '"ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096"'
            ],
        ),
    ],
)
def test_what_is_not(source: dict[str, Any], found: list[str]) -> None:
    assert complaints(source) == found


def test_two_sources_claim_one_path() -> None:
    downward = {"items": [{"path": "same", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}]}
    conflict = "conflicting duplicate paths"
    assert complaints(
        {"configMap": keys("a", "same")}, {"secret": keys("b", "same")}, {"downwardAPI": downward}
    ) == [
        f'p: Invalid value: "b": {conflict}',
        f'p: Invalid value: "same": {conflict}',
    ]
