"""One row for each way to break a check: the level and version, what the Pod says, what it is told."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.api.podsecurity.checks import BASELINE, RESTRICTED, reasons, told, violations
from sampan.api.podsecurity.policy import LevelVersion

BASE = LevelVersion("baseline")
SAFE: Obj = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(*contexts: Obj | None, **spec: Any) -> Obj:
    """One container, named a, b, c..., for each context."""
    named = [
        {"name": name, **({} if context is None else {"securityContext": context})}
        for name, context in zip("abcdef", contexts or (None,), strict=False)
    ]
    return {"containers": named, **spec}


def shared(**context: Any) -> Obj:
    return {"securityContext": context}


def of(asked: LevelVersion, spec: Obj, **annotations: str) -> str:
    return told(violations(asked, {"annotations": annotations}, spec))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (pod(hostNetwork=True, hostPID=True), "host namespaces (hostNetwork=true, hostPID=true)"),
        (pod(hostIPC=True), "host namespaces (hostIPC=true)"),
        (
            pod({"privileged": True}, {"privileged": True}),
            'privileged (containers "a", "b" must not set securityContext.privileged=true)',
        ),
        (
            {**pod(), "initContainers": [{"name": "i", "securityContext": {"privileged": True}}]},
            'privileged (container "i" must not set securityContext.privileged=true)',
        ),
        (
            {**pod(), "ephemeralContainers": [{"name": "e", "securityContext": {"privileged": True}}]},
            'privileged (container "e" must not set securityContext.privileged=true)',
        ),
        (
            pod({"capabilities": {"add": ["NET_RAW", "CHOWN", "ALL"]}}),
            'non-default capabilities (container "a" must not include "ALL", "NET_RAW" in '
            "securityContext.capabilities.add)",
        ),
        (
            pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "emptyDir": {}}]),
            'hostPath volumes (volume "v")',
        ),
        (
            {
                "containers": [
                    {"name": "a", "ports": [{"hostPort": 90}, {"hostPort": 80}, {"containerPort": 1}]}
                ]
            },
            'hostPort (container "a" uses hostPorts 80, 90)',
        ),
        (
            {
                "containers": [
                    {"name": "a", "livenessProbe": {"httpGet": {"host": "h"}}},
                    {"name": "b", "lifecycle": {"preStop": {"tcpSocket": {"host": "g"}}}},
                    {
                        "name": "c",
                        "readinessProbe": {"httpGet": {"port": 1}},
                        "lifecycle": {"postStart": None},
                    },
                ]
            },
            'probe or lifecycle host (containers "a", "b" use probe or lifecycle hosts "g", "h")',
        ),
        (
            pod({"procMount": "Unmasked"}),
            'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            pod({"seLinuxOptions": {"type": "x", "user": "u"}}, **shared(seLinuxOptions={"role": "r"})),
            'seLinuxOptions (pod and container "a" set forbidden securityContext.seLinuxOptions: '
            'type "x"; user may not be set; role may not be set)',
        ),
        (
            pod({"seccompProfile": {"type": "Unconfined"}}),
            'seccompProfile (container "a" must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (
            pod(**shared(sysctls=[{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_syncookies"}])),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            pod({"windowsOptions": {"hostProcess": True}}, **shared(windowsOptions={"hostProcess": True})),
            'hostProcess (pod and container "a" must not set '
            "securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            pod({"appArmorProfile": {"type": "Unconfined"}}),
            'forbidden AppArmor profile (container "a" must not set AppArmor profile type to "Unconfined")',
        ),
    ],
)
def test_what_baseline_forbids(spec, expected) -> None:
    assert of(BASE, spec) == expected
    assert of(LevelVersion("privileged"), spec) == ""


def test_app_armor_by_annotation() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/a"
    assert of(BASE, pod(), **{key: "unconfined"}) == (
        f'forbidden AppArmor profile (annotation must not set AppArmor profile type to "{key}="unconfined"")'
    )
    assert of(BASE, pod(), **{key: "localhost/x"}) == of(BASE, pod(), **{key: "runtime/default"}) == ""


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
    assert of(LevelVersion("restricted"), pod(*contexts, **spec)) == expected


KEEPALIVE = shared(sysctls=[{"name": "net.ipv4.tcp_keepalive_time"}])
RESERVED = shared(sysctls=[{"name": "net.ipv4.ip_local_reserved_ports"}])
BUFFERS = shared(sysctls=[{"name": "net.ipv4.tcp_rmem"}, {"name": "net.ipv4.tcp_wmem"}])
PROBE = {"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "h"}}}]}
UNMASKED = pod({"procMount": "Unmasked"}, hostUsers=False)
ROOT = pod({**SAFE, "runAsNonRoot": None, "runAsUser": 0}, hostUsers=False)
UNCONFINED = pod({"seccompProfile": {"type": "Unconfined"}})
LAX = pod({"runAsNonRoot": True, "seccompProfile": {"type": "Localhost"}}, os={"name": "windows"})


@pytest.mark.parametrize(
    ("level", "spec", "before", "since"),
    [
        ("baseline", pod(**RESERVED), 26, 27),
        ("baseline", pod(**KEEPALIVE), 28, 29),
        ("baseline", pod(**BUFFERS), 31, 32),
        ("baseline", pod({"seLinuxOptions": {"type": "container_engine_t"}}), 30, 31),
        ("baseline", UNMASKED, 34, 35),
        ("restricted", ROOT, 34, 35),
        ("restricted", LAX, 24, 25),
    ],
)
def test_what_a_later_version_allows(level, spec, before, since) -> None:
    assert of(LevelVersion(level, before), spec)
    assert of(LevelVersion(level, since), spec) == of(LevelVersion(level), spec) == ""


@pytest.mark.parametrize(
    ("level", "spec", "before", "since"),
    [
        ("baseline", UNCONFINED, 18, 19),
        ("baseline", PROBE, 33, 34),
        ("restricted", pod({**SAFE, "allowPrivilegeEscalation": None}), 7, 8),
        ("restricted", pod({**SAFE, "capabilities": None}), 21, 22),
        ("restricted", pod({**SAFE, "runAsUser": 0}), 22, 23),
        ("restricted", pod({**SAFE, "seccompProfile": None}), 18, 19),
    ],
)
def test_what_a_later_version_forbids(level, spec, before, since) -> None:
    assert of(LevelVersion(level, before), spec) == ""
    assert of(LevelVersion(level, since), spec)


def test_seccomp_by_annotations_before_1_19() -> None:
    key = "container.seccomp.security.alpha.kubernetes.io/a"
    asked = LevelVersion("baseline", 18)
    expected = f'seccompProfile (forbidden annotation {key}="unconfined")'
    assert of(asked, pod(), **{key: "unconfined"}) == expected
    assert of(BASE, pod(), **{key: "unconfined"}) == ""
    assert of(asked, pod(), **{key: "localhost/x"}) == ""


def test_a_restricted_check_covers_its_baseline_one() -> None:
    bad = {**SAFE, "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}
    found = violations(LevelVersion("restricted"), {}, pod(bad, hostNetwork=True))
    assert reasons(found) == "host namespaces, unrestricted capabilities"
    # Before 1.22 there was no restricted check of them.
    found = violations(LevelVersion("restricted", 21), {}, pod(bad))
    assert reasons(found) == "non-default capabilities"


def test_the_table_covers_what_exists() -> None:
    names = {check.name for check in BASELINE}
    assert {check.instead_of for check in RESTRICTED} - {""} <= names
    for check in (*BASELINE, *RESTRICTED):
        minors = [minor for minor, _ in check.rules]
        assert minors == sorted(minors)
