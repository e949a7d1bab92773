"""What a container may do is what its Pod says, and what a Pod may say is what its namespace says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.node import Node, eventually

SHOW = "grep -E '^(Uid|Gid|Groups|CapBnd|CapEff|NoNewPrivs|Seccomp):' /proc/self/status"

CONFINED = f"""
apiVersion: v1
kind: Pod
metadata: {{name: confined}}
spec:
  securityContext:
    runAsUser: 1000
    runAsGroup: 3000
    fsGroup: 5000
    supplementalGroups: [4000]
    sysctls:
    - {{name: kernel.shm_rmid_forced, value: "1"}}
    - {{name: net.ipv4.ip_local_port_range, value: "20000 21000"}}
  volumes: [{{name: v, emptyDir: {{}}}}]
  initContainers:
  - name: setuid
    image: toolbox
    command: [sh, -c, "cp $(readlink -f $(command -v python3)) /v/python && chmod 4755 /v/python"]
    securityContext: {{runAsUser: 0}}
    volumeMounts: [{{name: v, mountPath: /v}}]
  containers:
  - name: tight
    image: toolbox
    command: [sleep, "1000"]
    volumeMounts: [{{name: v, mountPath: /v}}]
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {{drop: [all], add: [cap_net_bind_service]}}
    lifecycle: {{postStart: {{exec: {{command: [sh, -c, "{SHOW} > /v/hook"]}}}}}}
    livenessProbe: {{periodSeconds: 1, exec: {{command: [sh, -c, "{SHOW} > /v/probe"]}}}}
  - name: loose
    image: toolbox
    command: [sleep, "1000"]
    volumeMounts: [{{name: v, mountPath: /v}}]
    securityContext: {{seccompProfile: {{type: Unconfined}}}}
"""

EXPECTED = {
    "Uid": "1000 1000 1000 1000",
    "Gid": "3000 3000 3000 3000",
    "Groups": "3000 4000 5000",
    "CapEff": "0000000000000000",
    "CapBnd": "0000000000000400",
    "NoNewPrivs": "1",
    "Seccomp": "2",
}


def fields(text: str) -> dict[str, str]:
    rows = (line.split(":", 1) for line in text.splitlines())
    return {name: " ".join(value.split()) for name, value in rows}


def test_nobody_in_a_container_has_more_rights_than_it(node: Node, namespace: str) -> None:
    node.apply(CONFINED, namespace)
    node.wait_ready("pod/confined", namespace)

    def tight(command: str, *, check: bool = True) -> str:
        return node.sh("confined", namespace, command, "tight", check=check)

    for command in (SHOW, "cat /v/hook", SHOW.replace("self", "1")):
        assert fields(tight(command)) == EXPECTED
    assert fields(eventually(lambda: tight("cat /v/probe", check=False))) == EXPECTED
    who = "/v/python -I -c 'import os; print(os.geteuid())'"
    assert tight(who) == "1000\n"
    assert node.sh("confined", namespace, who, "loose") == "0\n"
    loose = fields(node.sh("confined", namespace, SHOW, "loose"))
    assert (loose["NoNewPrivs"], loose["Seccomp"]) == ("0", "0")
    assert "Read-only file system" in tight("touch /x", check=False)
    assert "Read-only file system" in tight("echo 1 > /proc/sys/kernel/shmmax", check=False)
    assert tight("cat /proc/keys /proc/timer_list 2>/dev/null | wc -c") == "0\n"
    assert tight("cat /proc/sys/kernel/shm_rmid_forced") == "1\n"
    assert tight("cat /proc/sys/net/ipv4/ip_local_port_range").split() == ["20000", "21000"]
    statuses = node.get("pod", "confined", namespace)["status"]["containerStatuses"]
    user = {"uid": 1000, "gid": 3000, "supplementalGroups": [3000, 4000, 5000]}
    assert [status["user"] for status in statuses] == [{"linux": user}] * 2


OWN_USERS = """
apiVersion: v1
kind: Pod
metadata: {name: own-users}
spec:
  hostUsers: false
  volumes: [{name: v, emptyDir: {}}]
  containers:
  - name: root
    image: toolbox
    command: [sleep, "1000"]
    securityContext: {capabilities: {add: [SYS_ADMIN, NET_ADMIN]}}
    volumeMounts: [{name: v, mountPath: /v}]
---
apiVersion: v1
kind: Pod
metadata: {name: privileged}
spec:
  containers:
  - {name: c, image: toolbox, command: [sleep, "1000"], securityContext: {privileged: true}}
"""


def test_root_with_users_of_its_own_is_nobody_outside(node: Node, namespace: str) -> None:
    node.apply(OWN_USERS, namespace)
    node.wait_ready("pod/own-users", namespace)
    inside, first, count = node.sh("own-users", namespace, "cat /proc/self/uid_map").split()
    assert (inside, count) == ("0", "65536") and int(first) >= 65536
    may = "mkdir /m && mount -t tmpfs t /m && hostname mine && hostname && echo x > /v/x && stat -c %u /v/x /"
    assert node.sh("own-users", namespace, may).split() == ["mine", "0", "0"]
    written = "cd /proc/sys/kernel && cat core_pattern > core_pattern"
    refused = node.sh("own-users", namespace, written, check=False)
    assert "Permission denied" in refused or "Read-only" in refused
    uid = node.get("pod", "own-users", namespace)["metadata"]["uid"]
    (found,) = (node.data / "pods" / uid).rglob("x")
    assert found.stat().st_uid == 0


def test_a_privileged_container_may_mount(node: Node, namespace: str) -> None:
    node.apply(OWN_USERS, namespace)
    node.wait_ready("pod/privileged", namespace)
    script = "mkdir /m && mount -t tmpfs t /m && mount | grep -c ' /m '; grep CapEff /proc/self/status"
    mounted, effective = node.sh("privileged", namespace, script).split("\n")[:2]
    own = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapBnd")
    )
    assert mounted == "1" and effective.split()[1] == own.split()[1]


def profile(**more: Any) -> str:
    return json.dumps({"defaultAction": "SCMP_ACT_ALLOW", **more})


def asking(context: dict[str, Any], name: str = "p") -> str:
    container = {"name": "c", "image": "toolbox", "command": ["sleep", "1000"], "securityContext": context}
    return json.dumps(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}}
    )


def waiting(node: Node, namespace: str) -> dict[str, str]:
    def look() -> dict[str, str] | None:
        statuses = node.get("pod", "p", namespace)["status"].get("containerStatuses") or [{}]
        found = statuses[0].get("state", {}).get("waiting") or {}
        return found if found.get("message") else None

    found = eventually(look)
    assert found is not None
    return found


def test_a_seccomp_profile_of_the_nodes_own(node: Node, namespace: str) -> None:
    profiles = node.data / "seccomp"
    profiles.mkdir(exist_ok=True)
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
    (profiles / "no-mkdir.json").write_text(profile(syscalls=[rule]))
    local = {"seccompProfile": {"type": "Localhost", "localhostProfile": "no-mkdir.json"}}
    node.apply(asking(local), namespace)
    node.wait_ready("pod/p", namespace)
    assert "Function not implemented" in node.sh("p", namespace, "mkdir /x", check=False)


@pytest.mark.parametrize(
    ("context", "reason", "message"),
    [
        (
            {"seccompProfile": {"type": "Localhost", "localhostProfile": "missing.json"}},
            "CreateContainerError",
            'cannot load seccomp profile "Localhost/missing.json"',
        ),
        (
            {"runAsNonRoot": True},
            "CreateContainerConfigError",
            "container has runAsNonRoot and image will run as root",
        ),
        (
            {"seLinuxOptions": {"level": "s0:c1"}},
            "CreateContainerConfigError",
            "cannot apply seLinuxOptions: SELinux is not enabled on this node",
        ),
        ({"capabilities": {"add": ["FLY"]}}, "CreateContainerError", "unknown capability: FLY"),
    ],
)
def test_what_cannot_be_kept_is_not_run(
    node: Node, namespace: str, context: dict[str, Any], reason: str, message: str
) -> None:
    node.apply(asking(context), namespace)
    found = waiting(node, namespace)
    assert found["reason"] == reason and message in found["message"]


def test_what_the_node_does_not_allow_is_rejected(node: Node, namespace: str) -> None:
    sysctl = [{"name": "kernel.msgmax", "value": "1"}]
    pods: dict[str, dict[str, Any]] = {
        "sysctl": {"securityContext": {"sysctls": sysctl}},
        "apparmor": {"securityContext": {"appArmorProfile": {"type": "Localhost", "localhostProfile": "x"}}},
    }
    for name, spec in pods.items():
        body = json.loads(asking({}, name))
        body["spec"] |= spec
        node.apply(json.dumps(body), namespace)

    def ended() -> dict[str, tuple[str, str]] | None:
        found = {p["metadata"]["name"]: p["status"] for p in node.list("pods", namespace)}
        done = all(status.get("phase") == "Failed" for status in found.values()) and len(found) == 2
        return {name: (s["reason"], s["message"]) for name, s in found.items()} if done else None

    assert eventually(ended) == {
        "sysctl": ("SysctlForbidden", 'Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted'),
        "apparmor": (
            "AppArmor",
            "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host",
        ),
    }
    shown = node.kubectl("get", "pod", "sysctl", "-n", namespace).out
    assert "SysctlForbidden" in shown


def test_a_namespace_says_what_its_pods_may_ask_for(node: Node, namespace: str) -> None:
    labels = [f"pod-security.kubernetes.io/{mode}" for mode in ("enforce=baseline", "warn=restricted")]
    node.kubectl("label", "namespace", namespace, *labels)
    output = node.kubectl(
        "apply", "-n", namespace, "-f", "-", stdin=asking({"privileged": True}), check=False
    )
    assert (
        'pods "p" is forbidden: violates PodSecurity "baseline:latest": privileged '
        '(container "c" must not set securityContext.privileged=true)'
    ) in output.err
    assert node.list("pods", namespace) == []
    output = node.kubectl("create", "deployment", "d", "--image=toolbox", "-n", namespace)
    assert (
        'Warning: would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false'
        in output.err
    )
    safe = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert node.kubectl("apply", "-n", namespace, "-f", "-", stdin=asking(safe)).err == ""
    node.wait_ready("pod/p", namespace)
    output = node.kubectl(
        "label", "namespace", namespace, "--overwrite", "pod-security.kubernetes.io/enforce=restricted"
    )
    assert (
        "existing pods in namespace" in output.err
        and "violate the new PodSecurity enforce level" in output.err
    )


CLASSES = """
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: e2e-runc}
handler: runc
overhead: {podFixed: {cpu: 10m, memory: 8Mi}}
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: e2e-strange}
handler: strange
"""


def test_runtime_classes_choose_who_holds_the_containers(node: Node, namespace: str) -> None:
    node.apply(CLASSES, namespace)
    try:
        for name in ("runc", "strange", "none"):
            body = json.loads(asking({}, name))
            body["spec"]["runtimeClassName"] = f"e2e-{name}"
            output = node.kubectl(
                "apply", "-n", namespace, "-f", "-", stdin=json.dumps(body), check=name != "none"
            )
        assert 'pods "none" is forbidden: pod rejected: RuntimeClass "e2e-none" not found' in output.err
        handlers = [h["name"] for h in node.list("nodes", namespace)[0]["status"]["runtimeHandlers"]]
        if "runc" in handlers:
            node.wait_ready("pod/runc", namespace)
            assert node.get("pod", "runc", namespace)["spec"]["overhead"] == {"cpu": "10m", "memory": "8Mi"}
        expected = 'no runtime for "strange" is configured'
        eventually(lambda: any(expected in e["message"] for e in node.events("strange", namespace)))
    finally:
        node.kubectl("delete", "runtimeclass", "e2e-runc", "e2e-strange")
