"""One row for each way to break baseline: what the Pod says, what it is told."""

from __future__ import annotations

import pytest

from harness.standards import BASE, broken, pod, shared
from sampan.api.podsecurity.policy import LevelVersion


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
    assert broken(BASE, spec) == expected
    assert broken(LevelVersion("privileged"), spec) == ""


def test_app_armor_by_annotation() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/a"
    assert broken(BASE, pod(), **{key: "unconfined"}) == (
        f'forbidden AppArmor profile (annotation must not set AppArmor profile type to "{key}="unconfined"")'
    )
    assert (
        broken(BASE, pod(), **{key: "localhost/x"}) == broken(BASE, pod(), **{key: "runtime/default"}) == ""
    )
