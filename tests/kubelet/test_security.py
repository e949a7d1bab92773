"""The effective securityContext."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.env import ConfigError
from sampan.kubelet.images.fake import image
from sampan.kubelet.runtime.contract import Security
from sampan.kubelet.security import security


def effective(own: Obj, shared: Obj | None = None, user: str = "") -> Security:
    pod = {
        "metadata": {"name": "web", "namespace": "ns", "uid": "u"},
        "spec": {"securityContext": shared or {}},
    }
    return security(pod, {"name": "c", "securityContext": own}, image("x", user=user))


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
