"""The effective securityContext."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.env import ConfigError
from sampan.kubelet.images.fake import image
from sampan.kubelet.runtime.contract import PLAIN, Features, Security
from sampan.kubelet.security import security


def effective(own: Obj, shared: Obj | None = None, user: str = "", features: Features = PLAIN) -> Security:
    pod = {
        "metadata": {"name": "web", "namespace": "ns", "uid": "u"},
        "spec": {"securityContext": shared or {}},
    }
    container = {"name": "c", "securityContext": own}
    return security(pod, container, image("x", user=user), features=features)


def test_containers_override_pods() -> None:
    found = effective(
        {"runAsUser": 0}, {"runAsUser": 5, "runAsGroup": 6, "supplementalGroups": [7], "fsGroup": 8}
    )
    assert (found.uid, found.gid, found.groups) == (0, 6, (7, 8))


@pytest.mark.parametrize(
    ("own", "field", "value"),
    [
        ({}, "seccomp", "RuntimeDefault"),
        ({"privileged": True}, "seccomp", "Unconfined"),
        ({"seccompProfile": {"type": "Unconfined"}}, "seccomp", "Unconfined"),
        (
            {"seccompProfile": {"type": "Localhost", "localhostProfile": "p.json"}},
            "seccomp",
            "Localhost/p.json",
        ),
        ({"allowPrivilegeEscalation": False}, "no_new_privileges", True),
        ({}, "no_new_privileges", False),
        ({"readOnlyRootFilesystem": True}, "read_only_root", True),
        ({"capabilities": {"add": ["NET_ADMIN"]}}, "add_capabilities", ("NET_ADMIN",)),
        ({"procMount": "Unmasked"}, "unmasked_proc", True),
    ],
)
def test_fields(own: Obj, field: str, value: Any) -> None:
    assert getattr(effective(own), field) == value


WHERE = '(pod: "web_ns(u)", container: c)'


@pytest.mark.parametrize(
    ("own", "user", "message"),
    [
        ({"runAsUser": 0}, "", f"container's runAsUser breaks non-root policy {WHERE}"),
        ({}, "", f"container has runAsNonRoot and image will run as root {WHERE}"),
        ({}, "0:5", f"container has runAsNonRoot and image will run as root {WHERE}"),
        (
            {},
            "nginx",
            "container has runAsNonRoot and image has non-numeric user (nginx), "
            f"cannot verify user is non-root {WHERE}",
        ),
        ({"runAsUser": 1}, "", None),
        ({}, "101", None),
    ],
)
def test_run_as_non_root(own: Obj, user: str, message: str | None) -> None:
    if message is None:
        effective({**own, "runAsNonRoot": True}, user=user)
        return
    with pytest.raises(ConfigError) as caught:
        effective({**own, "runAsNonRoot": True}, user=user)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("seLinuxOptions", "cannot apply seLinuxOptions: SELinux is not enabled on this node"),
        ("windowsOptions", "cannot apply windowsOptions: this node runs Linux"),
    ],
)
def test_what_this_node_has_no_word_for(field: str, message: str) -> None:
    for own, shared in (({field: {"x": "y"}}, {}), ({}, {field: {"x": "y"}})):
        with pytest.raises(ConfigError) as caught:
            effective(own, shared)
        assert str(caught.value) == message
    assert effective({field: {}}) == effective({})


def test_selinux_where_the_kernel_has_it() -> None:
    found = effective({"seLinuxOptions": {"level": "s0:c1"}}, features=Features(selinux=True))
    assert found.selinux == "system_u:system_r:container_t:s0:c1"


LOCAL = {"type": "Localhost", "localhostProfile": "mine"}


@pytest.mark.parametrize(
    ("own", "shared", "profile"),
    [
        ({}, {}, ""),
        ({"appArmorProfile": {"type": "RuntimeDefault"}}, {"appArmorProfile": LOCAL}, ""),
        ({}, {"appArmorProfile": LOCAL}, "mine"),
        ({"appArmorProfile": {"type": "Unconfined"}}, {}, "unconfined"),
        ({"privileged": True}, {}, "unconfined"),
        ({"privileged": True, "appArmorProfile": LOCAL}, {}, "mine"),
    ],
)
def test_app_armor_where_the_kernel_has_it(own: Obj, shared: Obj, profile: str) -> None:
    assert effective(own, shared, features=Features(apparmor=True)).apparmor == profile
    assert effective(own, shared).apparmor == ""


def test_strict_groups() -> None:
    assert effective({}, {"supplementalGroupsPolicy": "Strict"}).strict_groups
    assert not effective({}, {"supplementalGroupsPolicy": "Merge"}).strict_groups
