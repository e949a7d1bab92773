from __future__ import annotations

import pytest

from sampan.api.validation import windows


@pytest.mark.parametrize(
    ("name", "complaints"),
    [
        ("ContainerUser", []),
        ("DOMAIN\\user", []),
        ("corp.example.com\\user name", []),
        ("", ["runAsUserName cannot be an empty string"]),
        ("a\tb", ["runAsUserName cannot contain control characters"]),
        ("a\\b\\c", ["runAsUserName cannot contain more than one backslash"]),
        (".dom\\user", ["runAsUserName's Domain doesn't match the NetBios nor the DNS format"]),
        ("d\\", ["runAsUserName's User cannot be empty"]),
        ("..", ["runAsUserName's User cannot contain only periods or spaces"]),
        ("u" * 105, ["runAsUserName's User length must not be longer than 104 characters"]),
        ("a@b", ["runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"]),
    ],
)
def test_names_of_users(name, complaints) -> None:
    found = [error.message for error in windows.options("w", {"runAsUserName": name})]
    assert [text.split(": ", 2)[2] for text in found] == complaints


def container(host_process: bool | None) -> dict:
    return {"name": "c", "securityContext": {"windowsOptions": {"hostProcess": host_process}}}


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"containers": [container(None)]}, []),
        ({"containers": [container(True)], "hostNetwork": True}, []),
        (
            {"containers": [container(True), container(None)], "hostNetwork": True},
            [
                'spec: Invalid value: "": If pod contains any hostProcess containers then all containers '
                "must be HostProcess containers"
            ],
        ),
        (
            {"containers": [container(True)]},
            [
                "spec.hostNetwork: Invalid value: false: "
                "hostNetwork must be true if pod contains any hostProcess containers"
            ],
        ),
        (
            {
                "containers": [container(True)],
                "hostNetwork": True,
                "securityContext": {"windowsOptions": {"hostProcess": False}},
            },
            [
                "spec.containers[0].securityContext.windowsOptions.hostProcess: Invalid value: true: "
                "pod hostProcess value must be identical if both are specified, was false"
            ],
        ),
    ],
)
def test_processes_of_the_host(spec, found) -> None:
    assert [error.text for error in windows.host_process("spec", spec)] == found


LINUX = "spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"


@pytest.mark.parametrize(
    ("system", "spec", "fields"),
    [
        ("linux", {"securityContext": {"runAsUser": 1}}, []),
        (None, {"securityContext": {"windowsOptions": {}}}, []),
        ("windows", {"hostPID": False, "securityContext": {"sysctls": []}}, []),
        (
            "windows",
            {"hostPID": True, "hostUsers": False, "securityContext": {"runAsUser": 0, "fsGroup": 1}},
            ["hostPID", "hostUsers", "securityContext.fsGroup", "securityContext.runAsUser"],
        ),
        (
            "windows",
            {"containers": [{"name": "c", "securityContext": {"privileged": False, "capabilities": {}}}]},
            ["containers[0].securityContext.capabilities", "containers[0].securityContext.privileged"],
        ),
    ],
)
def test_what_the_system_leaves_no_room_for(system, spec, fields) -> None:
    asked = {**spec, **({"os": {"name": system}} if system else {})}
    found = [error.text for error in windows.of_system("spec", asked)]
    assert found == [f"spec.{field}: Forbidden: cannot be set for a windows pod" for field in fields]


def test_windows_options_of_a_linux_pod() -> None:
    spec = {"os": {"name": "linux"}, "securityContext": {"windowsOptions": {}}}
    assert [error.text for error in windows.of_system("spec", spec)] == [LINUX]
