from __future__ import annotations

from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.sysctls import dotted, forbidden


def pod(*names: str, **spec: Any) -> Obj:
    listed = [{"name": name, "value": "1"} for name in names]
    return {"spec": {"securityContext": {"sysctls": listed}, **spec}}


@pytest.mark.parametrize(
    ("asked", "unsafe", "sentence"),
    [
        (pod(), (), None),
        (pod("kernel.shm_rmid_forced", "net.ipv4.tcp_rmem"), (), None),
        (pod("net/ipv4/tcp_syncookies"), (), None),
        (pod("kernel.msgmax"), (), 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        (pod("kernel.msgmax"), ("kernel.msg*",), None),
        (pod("net.core.somaxconn"), ("net.core.somaxconn",), None),
        (pod("kernel.sem"), ("kernel.msg*",), 'forbidden sysctl: "kernel.sem" not allowlisted'),
        (
            pod("net.ipv4.tcp_syncookies", hostNetwork=True),
            (),
            'forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host Net enabled',
        ),
        (
            pod("kernel.shm_rmid_forced", hostIPC=True),
            (),
            'forbidden sysctl: "kernel.shm_rmid_forced" not allowed with host IPC enabled',
        ),
    ],
)
def test_what_a_pod_may_set(asked, unsafe, sentence) -> None:
    assert forbidden(asked, unsafe) == sentence


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("net.ipv4.conf.all", "net.ipv4.conf.all"),
        ("net/ipv4/conf/eth0.1/mtu", "net.ipv4.conf.eth0/1.mtu"),
        ("net.ipv4.conf.eth0/1.mtu", "net.ipv4.conf.eth0/1.mtu"),
    ],
)
def test_both_forms_of_a_name(name, plain) -> None:
    assert dotted(name) == plain
