"""Rules of security contexts: one row for each way to be wrong."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.api.validation import security

AT = "spec.securityContext"
SYSCTL_RULE = (
    r"must have at most 253 characters and match regex "
    r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
)


def of_pod(context: Obj, **spec: Any) -> list[str]:
    return [error.text for error in security.pod(AT, {"securityContext": context, **spec})]


def of_container(context: Obj, *, host_users: bool = True) -> list[str]:
    return [error.text for error in security.container("sc", context, host_users=host_users)]


def sysctls(*names: str) -> Obj:
    return {"sysctls": [{"name": name, "value": "1"} for name in names]}


IDS = "must be between 0 and 2147483647, inclusive"


@pytest.mark.parametrize(
    ("context", "found"),
    [
        ({"runAsUser": 0, "runAsGroup": 2**31 - 1, "fsGroup": 1, "supplementalGroups": [1, 2]}, []),
        ({"runAsUser": -1}, [f"{AT}.runAsUser: Invalid value: -1: {IDS}"]),
        ({"runAsGroup": 2**31}, [f"{AT}.runAsGroup: Invalid value: 2147483648: {IDS}"]),
        ({"fsGroup": -5}, [f"{AT}.fsGroup: Invalid value: -5: {IDS}"]),
        ({"supplementalGroups": [0, -1]}, [f"{AT}.supplementalGroups[1]: Invalid value: -1: {IDS}"]),
        (
            {"supplementalGroupsPolicy": "Some"},
            [
                f'{AT}.supplementalGroupsPolicy: Unsupported value: "Some": '
                'supported values: "Merge", "Strict"'
            ],
        ),
        (
            {"fsGroupChangePolicy": "Never"},
            [
                f'{AT}.fsGroupChangePolicy: Unsupported value: "Never": '
                'supported values: "Always", "OnRootMismatch"'
            ],
        ),
        (
            {"seccompProfile": {}},
            [f"{AT}.seccompProfile.type: Required value: type is required when seccompProfile is set"],
        ),
        (
            {"seccompProfile": {"type": "Strict"}},
            [
                f'{AT}.seccompProfile.type: Unsupported value: "Strict": '
                'supported values: "Localhost", "RuntimeDefault", "Unconfined"'
            ],
        ),
        (
            {"seccompProfile": {"type": "Localhost", "localhostProfile": "/abs"}},
            [f'{AT}.seccompProfile.localhostProfile: Invalid value: "/abs": must be a relative path'],
        ),
        (
            {"seccompProfile": {"type": "Localhost", "localhostProfile": "a/../b"}},
            [f"{AT}.seccompProfile.localhostProfile: Invalid value: \"a/../b\": must not contain '..'"],
        ),
        (
            {"appArmorProfile": {"type": "Localhost"}},
            [
                f"{AT}.appArmorProfile.localhostProfile: Required value: "
                "must be set when AppArmor type is Localhost"
            ],
        ),
        (
            {"appArmorProfile": {"type": "RuntimeDefault", "localhostProfile": "x"}},
            [
                f'{AT}.appArmorProfile.localhostProfile: Invalid value: "x": '
                "can only be set when AppArmor type is Localhost"
            ],
        ),
        (
            {"windowsOptions": {"gmsaCredentialSpec": ""}},
            [
                f'{AT}.windowsOptions.gmsaCredentialSpec: Invalid value: "": '
                "gmsaCredentialSpec cannot be an empty string"
            ],
        ),
    ],
)
def test_pods(context, found) -> None:
    assert of_pod(context) == found


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (["kernel.shm_rmid_forced", "net/ipv4/ip_local_port_range", "net.ipv4.conf.eth0/1.x"], []),
        (["kernel.shmmax", "foo-", "bar..", "Up.per", "a.b\n"], ["foo-", "bar..", "Up.per", "a.b\n"]),
        (["a" * 254], ["a" * 254]),
    ],
)
def test_names_of_sysctls(names, wrong) -> None:
    found = of_pod(sysctls(*names))
    assert len(found) == len(wrong)
    for text, name in zip(found, wrong, strict=True):
        assert text.endswith(SYSCTL_RULE) and f'"{name[:3]}' in text


@pytest.mark.parametrize(
    ("names", "spec", "found"),
    [
        (["a", "a"], {}, [f'{AT}.sysctls[1].name: Duplicate value: "a"']),
        ([""], {}, [f"{AT}.sysctls[0].name: Required value"]),
        (
            ["net/ipv4/tcp_syncookies"],
            {"hostNetwork": True},
            [
                f'{AT}.sysctls[0].name: Invalid value: "net.ipv4.tcp_syncookies": '
                "may not be specified when 'hostNetwork' is true"
            ],
        ),
        (
            ["kernel.msgmax"],
            {"hostIPC": True},
            [
                f'{AT}.sysctls[0].name: Invalid value: "kernel.msgmax": '
                "may not be specified when 'hostIPC' is true"
            ],
        ),
    ],
)
def test_sysctls_that_contradict(names, spec, found) -> None:
    assert of_pod(sysctls(*names), **spec) == found


@pytest.mark.parametrize(
    ("context", "host_users", "found"),
    [
        ({"procMount": "Default"}, True, []),
        ({"procMount": "Unmasked"}, False, []),
        (
            {"procMount": "Unmasked"},
            True,
            ['sc.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`'],
        ),
        (
            {"procMount": "Masked"},
            True,
            ['sc.procMount: Unsupported value: "Masked": supported values: "Default", "Unmasked"'],
        ),
        (
            {"allowPrivilegeEscalation": False, "capabilities": {"add": ["CAP_SYS_ADMIN"]}},
            True,
            [
                'sc: Invalid value: {"allowPrivilegeEscalation":false,'
                '"capabilities":{"add":["CAP_SYS_ADMIN"]}}: '
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            ],
        ),
        ({"allowPrivilegeEscalation": False, "capabilities": {"add": ["NET_ADMIN"]}}, True, []),
        ({"runAsUser": -1}, True, [f"sc.runAsUser: Invalid value: -1: {IDS}"]),
    ],
)
def test_containers(context, host_users, found) -> None:
    assert of_container(context, host_users=host_users) == found


def test_a_user_namespace_goes_with_none_of_the_host() -> None:
    device = [{"name": "d", "devicePath": "/dev/d"}]
    spec = {
        "hostUsers": False,
        "hostNetwork": True,
        "hostPID": True,
        "hostIPC": True,
        "containers": [{"name": "c", "volumeDevices": device}],
    }
    found = [error.text for error in security.host_users("spec", spec)]
    assert found == [
        f"spec.{field}: Forbidden: when `hostUsers` is false"
        for field in ("hostNetwork", "HostPID", "HostIPC", "containers[0].volumeDevices")
    ]
    assert list(security.host_users("spec", {**spec, "hostUsers": True})) == []
