"""Volumes on a real node: what containers see, what they cannot reach, and what is left when they are gone."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.node import Node, eventually

Fields = dict[str, Any]
SLEEP = "exec sleep 1000"
HOST = "/host"


def box(name: str = "c", command: str = SLEEP, **fields: Any) -> Fields:
    return {"name": name, "image": "busybox", "command": ["sh", "-c", command], **fields}


def pod(name: str, containers: list[Fields], volumes: dict[str, Fields], **spec: Any) -> str:
    """`volumes`: sources by name."""
    fields: Fields = {"terminationGracePeriodSeconds": 0, **spec, "containers": containers}
    fields["volumes"] = [{"name": key, **source} for key, source in volumes.items()]
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": fields})


def at(volume: str, path: str, **fields: Any) -> Fields:
    return {"name": volume, "mountPath": path, **fields}


def place(node: Node, name: str, namespace: str) -> Path:
    """The Pod's directory on the node."""
    return node.data / "pods" / str(node.get("pod", name, namespace)["metadata"]["uid"])


def says(node: Node, name: str, namespace: str, text: str) -> None:
    eventually(lambda: any(text in event["message"] for event in node.events(name, namespace)))


def gone(directory: Path) -> Callable[[], bool]:
    """With every mount below it."""
    return lambda: not directory.exists() and str(directory) not in Path("/proc/self/mountinfo").read_text()


def test_image_volume(node: Node, namespace: str) -> None:
    mounts = [at("img", "/img"), at("img", "/part", subPath="bin")]
    source = {"image": {"reference": "busybox:1.36"}}
    node.apply(pod("reader", [box(volumeMounts=mounts)], {"img": source}), namespace)
    node.wait_ready("pod/reader", namespace)
    assert "busybox" in node.sh("reader", namespace, "ls /img/bin; ls /part")
    for command, refusal in (
        ("touch /img/x", "Read-only file system"),
        ("/part/busybox", "Permission denied"),
    ):
        assert refusal in node.sh("reader", namespace, command, check=False)
    directory = place(node, "reader", namespace)
    node.kubectl("delete", "pod", "reader", "-n", namespace)
    eventually(gone(directory))


def test_missing_images_and_drivers_say_so(node: Node, namespace: str) -> None:
    sources = {
        "image": {"image": {"reference": "nosuch:1", "pullPolicy": "Never"}},
        "csi": {"csi": {"driver": "inline.example.com"}},
        "type": {"hostPath": {"path": "/etc/hostname", "type": "Directory"}},
        "git": {"gitRepo": {"repository": "https://example.com/r"}},
    }
    texts = {
        "image": 'ErrImageNeverPull: Container image "nosuch:1" is not present with pull policy of Never',
        "csi": "driver name inline.example.com not found in the list of registered CSI drivers",
        "type": "hostPath type check failed: /etc/hostname is not a directory",
        "git": "git-repo volume plugin has been disabled",
    }
    for name, source in sources.items():
        node.apply(pod(name, [box(volumeMounts=[at("v", "/v")])], {"v": source}), namespace)
    for name, text in texts.items():
        says(node, name, namespace, 'MountVolume.SetUp failed for volume "v" : ')
        says(node, name, namespace, text)


def test_memory_volume_is_as_large_as_the_pod_may_be(node: Node, namespace: str) -> None:
    limited = box(volumeMounts=[at("m", "/m"), at("s", "/s")], resources={"limits": {"memory": "48Mi"}})
    sources = {
        "m": {"emptyDir": {"medium": "Memory"}},
        "s": {"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    }
    node.apply(pod("mem", [limited], sources, securityContext={"fsGroup": 2000}), namespace)
    node.wait_ready("pod/mem", namespace)
    sizes = node.sh("mem", namespace, "df -k /m /s | awk '{print $2}' | tail -2").split()
    assert sizes == [str(48 * 1024), "1024"]
    node.sh("mem", namespace, "head -c 2000000 /dev/zero > /s/f", check=False)
    assert node.sh("mem", namespace, "stat -c %s /s/f").strip() == str(1 << 20)
    shown = node.sh("mem", namespace, "stat -c '%A %g' /m; touch /m/f; stat -c %g /m/f")
    assert shown.split() == ["drwxrwsrwx", "2000", "2000"]


def test_a_container_cannot_lead_its_sub_path_out(node: Node, namespace: str, tmp_path: Path) -> None:
    """CVE-2017-1002101 and CVE-2021-25741: a link in the place of the subPath, and one that comes and goes."""
    secret = tmp_path / "secret"
    secret.write_text("the node's own")
    race = (
        f"cd /v && mkdir -p d real && ln -sfn {tmp_path} link && touch ready;"
        " while true; do mv -T d x; mv -T link d; mv -T d link; mv -T x d; done"
    )
    victim = "if [ -e /d/secret ]; then cat /d/secret; sleep 1000; fi; exit 1"
    containers = [
        box("attacker", race, volumeMounts=[at("v", "/v")]),
        box("static", SLEEP, volumeMounts=[at("v", "/d", subPath="still")]),
        box("victim", victim, volumeMounts=[at("v", "/d", subPath="d")]),
    ]
    still = box("maker", f"ln -s {tmp_path} /v/still", volumeMounts=[at("v", "/v")])
    sources = {"v": {"emptyDir": {}}}
    node.apply(pod("cve", containers, sources, initContainers=[still]), namespace)

    def waiting() -> Fields:
        found: Fields = {}
        for status in node.get("pod", "cve", namespace)["status"].get("containerStatuses", ()):
            found[status["name"]] = status
        assert found["static"]["state"]["waiting"]["reason"] == "CreateContainerConfigError"
        assert found["victim"]["restartCount"] or "waiting" in found["victim"]["state"]
        return found

    status = eventually(waiting)
    message = status["static"]["state"]["waiting"]["message"]
    assert message == 'failed to prepare subPath "still": it leads out of the volume'
    assert (
        "the node's own" not in node.kubectl("logs", "cve", "-c", "victim", "-n", namespace, check=False).out
    )
    directory = place(node, "cve", namespace)
    node.kubectl("delete", "pod", "cve", "-n", namespace)
    eventually(gone(directory))
    assert secret.read_text() == "the node's own"


def test_deletion_stays_inside_the_pod(node: Node, namespace: str, tmp_path: Path) -> None:
    """CVE-2017-1002102: links, subPaths and mounts of the node's own directories are left alone."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "kept").write_text("1")
    mounts = [at("h", "/h"), at("h", "/sub", subPath="sub"), at("e", "/e"), at("e", "/e/h", subPath="in")]
    fill = f"ln -s {tmp_path} /e/link; ln -s {tmp_path}/sub/kept /e/file; mkdir -p /e/a/b/c; {SLEEP}"
    sources = {"h": {"hostPath": {"path": str(tmp_path)}}, "e": {"emptyDir": {}}}
    node.apply(pod("tidy", [box(command=fill, volumeMounts=mounts)], sources), namespace)
    node.wait_ready("pod/tidy", namespace)
    directory = place(node, "tidy", namespace)
    node.kubectl("delete", "pod", "tidy", "-n", namespace)
    eventually(gone(directory))
    assert (tmp_path / "sub" / "kept").read_text() == "1"


def test_mounts_propagate_as_asked(node: Node, namespace: str) -> None:
    """What a privileged container mounts comes to the others that asked for it, and goes with the Pod."""
    mounter = box(
        "mounter",
        f"mkdir -p /v/m && mount -t tmpfs t /v/m && touch /v/m/f && {SLEEP}",
        securityContext={"privileged": True},
        volumeMounts=[at("v", "/v", mountPropagation="Bidirectional")],
    )
    follower = box("follower", volumeMounts=[at("v", "/v", mountPropagation="HostToContainer")])
    apart = box("apart", volumeMounts=[at("v", "/v")])
    node.apply(pod("shared", [follower, apart, mounter], {"v": {"emptyDir": {}}}), namespace)
    node.wait_ready("pod/shared", namespace)
    eventually(lambda: "f" in node.sh("shared", namespace, "ls /v/m", container="follower"))
    assert node.sh("shared", namespace, "ls /v/m", container="apart").strip() == ""
    directory = place(node, "shared", namespace)
    node.kubectl("delete", "pod", "shared", "-n", namespace)
    eventually(gone(directory))


def test_read_only_below_as_well(node: Node, namespace: str) -> None:
    options: dict[str, Fields] = {
        "/plain": {"readOnly": True},
        "/deep": {"readOnly": True, "recursiveReadOnly": "Enabled"},
        "/maybe": {"readOnly": True, "recursiveReadOnly": "IfPossible"},
    }
    mounts = [at("dev", path, **fields) for path, fields in options.items()]
    node.apply(pod("ro", [box(volumeMounts=mounts)], {"dev": {"hostPath": {"path": "/dev"}}}), namespace)
    node.wait_ready("pod/ro", namespace)
    shown = node.get("pod", "ro", namespace)["status"]["containerStatuses"][0]["volumeMounts"]
    found = {mount["mountPath"]: mount.get("recursiveReadOnly") for mount in shown}
    assert found | {"/plain": "Disabled", "/deep": "Enabled", "/maybe": "Enabled"} == found
    points = node.sh("ro", namespace, "awk '{print $2, $4}' /proc/mounts").splitlines()
    below = [line.split() for line in points if line.startswith(("/deep/", "/maybe/"))]
    assert all(options.startswith("ro") for _, options in below)


def test_a_disk_volume_keeps_its_limit(node: Node, namespace: str) -> None:
    fill = f"head -c 3000000 /dev/zero > /v/f; {SLEEP}"
    source = {"emptyDir": {"sizeLimit": "1Mi"}}
    node.apply(pod("full", [box(command=fill, volumeMounts=[at("v", "/v")])], {"v": source}), namespace)
    status = eventually(
        lambda: (found := node.get("pod", "full", namespace)["status"])["phase"] == "Failed" and found,
    )
    assert status["reason"] == "Evicted"
    assert 'Usage of EmptyDir volume "v" exceeds the limit "1Mi".' in status["message"]


def test_many_volumes_at_once(node: Node, namespace: str) -> None:
    """50 ConfigMaps, each a volume of its own, in 5 Pods at once."""
    maps = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"m{n}"}, "data": {"data-1": str(n)}}
        for n in range(50)
    ]
    sources = {f"m{n}": {"configMap": {"name": f"m{n}"}} for n in range(50)}
    mounts = [at(f"m{n}", f"/etc/config-{n}") for n in range(50)]
    pods = [json.loads(pod(f"p{n}", [box(volumeMounts=mounts)], sources)) for n in range(5)]
    node.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": maps}), namespace)
    node.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}), namespace)
    node.kubectl("wait", "--for=condition=Ready", "pod", "--all", "-n", namespace, "--timeout=120s")
    assert node.sh("p4", namespace, "cat /etc/config-49/data-1") == "49"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_node_shot_while_it_made_volumes_leaves_none(node: Node, namespace: str) -> None:
    sources = {f"v{n}": {"emptyDir": {"medium": "Memory"}} for n in range(20)} | {
        "none": {"secret": {"secretName": "x"}}
    }
    mounts = [at(name, f"/{name}") for name in sources]
    node.apply(pod("half", [box(volumeMounts=mounts)], sources), namespace)
    directory = eventually(lambda: (found := place(node, "half", namespace)).exists() and found)
    eventually(lambda: re.search(rf"{directory}\S+ ", Path("/proc/self/mountinfo").read_text()))
    node.kill()
    node.up()
    node.kubectl("delete", "pod", "half", "-n", namespace)
    eventually(gone(directory))
