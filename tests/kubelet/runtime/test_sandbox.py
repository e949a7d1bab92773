from __future__ import annotations

import dataclasses

import pytest

from sampan.kubelet.runtime.contract import RuntimeFault, SandboxSpec
from sampan.kubelet.runtime.sandbox import check_sysctls, kinds

SPEC = SandboxSpec("u1", "d", "n", hostname="h", cgroup="/cg")


@pytest.mark.parametrize(
    ("changes", "node_has_netns", "own"),
    [
        ({}, False, ("net", "ipc", "uts")),
        ({"host_ipc": True}, False, ("net", "uts")),
        ({"host_network": True}, False, ("ipc",)),
        # The node is a namespace with a name of its own, which the host's name is not.
        ({"host_network": True}, True, ("ipc", "uts")),
        ({"host_network": True, "host_ipc": True}, False, ()),
    ],
)
def test_which_namespaces_a_pod_has(
    changes: dict[str, bool], node_has_netns: bool, own: tuple[str, ...]
) -> None:
    assert kinds(dataclasses.replace(SPEC, **changes), node_has_netns=node_has_netns) == own


def test_sysctls_stay_in_their_namespaces() -> None:
    own = ("net", "ipc", "uts")
    check_sysctls({"net.core.somaxconn": "1", "net/ipv4/ip_forward": "1", "kernel.sem": "1 2 3 4"}, own)
    for name in ("vm.swappiness", "kernel.hostname", "kernel.pid_max", "fs.file-max", "net.core/../../vm/x"):
        with pytest.raises(RuntimeFault) as caught:
            check_sysctls({name: "1"}, own)
        assert caught.value.reason == "FailedCreatePodSandBox"
    with pytest.raises(RuntimeFault, match="needs a net namespace, but the Pod uses the host's"):
        check_sysctls({"net.core.somaxconn": "1"}, ("ipc",))
