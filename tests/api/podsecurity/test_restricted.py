"""One row for each way to break restricted: what the Pod says, what it is told."""

from __future__ import annotations

import pytest

from harness.standards import SAFE, broken, pod, shared
from sampan.api.podsecurity.policy import LevelVersion


@pytest.mark.parametrize(
    ("contexts", "spec", "expected"),
    [
        ([SAFE], {}, ""),
        (
            [None],
            {},
            'allowPrivilegeEscalation != false (container "a" must set '
            "securityContext.allowPrivilegeEscalation=false), "
            'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]), '
            'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true), '
            'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to '
            '"RuntimeDefault" or "Localhost")',
        ),
        (
            [{**SAFE, "capabilities": {"add": ["NET_BIND_SERVICE", "CHOWN"], "drop": ["all"]}}],
            {},
            'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]; '
            'container "a" must not include "CHOWN" in securityContext.capabilities.add)',
        ),
        (
            [{**SAFE, "runAsNonRoot": False}],
            shared(runAsNonRoot=True),
            'runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false)',
        ),
        ([{**SAFE, "runAsNonRoot": None}], shared(runAsNonRoot=True), ""),
        (
            [SAFE],
            shared(runAsNonRoot=False),
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
        (
            [{**SAFE, "runAsUser": 0}, SAFE],
            shared(runAsUser=0),
            'runAsUser=0 (pod and container "a" must not set runAsUser=0)',
        ),
        ([{**SAFE, "seccompProfile": None}], shared(seccompProfile={"type": "Localhost"}), ""),
        (
            [SAFE],
            shared(seccompProfile={"type": "Unconfined"}),
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (
            [SAFE],
            {
                "volumes": [
                    {"name": "v", "hostPath": {}},
                    {"name": "w", "nfs": {}},
                    {"name": "x", "image": {}},
                ]
            },
            'restricted volume types (volumes "v", "w" use restricted volume types "hostPath", "nfs")',
        ),
        (
            [{**SAFE, "procMount": "Unmasked"}],
            {"hostUsers": False},
            'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        ),
    ],
)
def test_what_restricted_forbids(contexts, spec, expected) -> None:
    assert broken(LevelVersion("restricted"), pod(*contexts, **spec)) == expected
