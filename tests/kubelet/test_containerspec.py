"""The runtime's order for one attempt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.containerspec import Attempt, PodPlace, container_spec, image_id
from sampan.kubelet.images.contract import Image
from sampan.kubelet.images.fake import image
from sampan.kubelet.runtime.contract import ContainerSpec, Mount

PLACE = PodPlace(Path("/pods/u"))


def order(
    container: Obj, mounts: tuple[Mount, ...] = (), env: dict[str, str] | None = None, **of: Any
) -> ContainerSpec:
    described: Obj = {"name": "c", "image": "web", **container}
    pod = {
        "metadata": {"name": "web", "namespace": "ns", "uid": "u"},
        "spec": {"containers": [described]},
    }
    found = replace(image("web", cmd=["serve"]), **of)
    return container_spec(
        pod,
        described,
        Attempt("id-3", 3, found, env or {}, mounts, "host"),
        PLACE,
        cgroup_root="/sampan",
        node_memory_bytes=2**30,
        default_seccomp="Unconfined",
    )


def test_an_attempt_has_its_own_log_message_and_cgroup() -> None:
    spec = order({})
    assert (spec.id, spec.sandbox, spec.name, spec.attempt) == ("id-3", "u", "c", 3)
    assert spec.log_path == "/pods/u/c/3.log"
    assert spec.cgroup == "/sampan/kubepods/besteffort/podu/id-3"
    assert [(mount.source, mount.target) for mount in spec.mounts] == [
        ("/pods/u/etc.hosts", "/etc/hosts"),
        ("/pods/u/resolv.conf", "/etc/resolv.conf"),
        ("/pods/u/c/3.message", "/dev/termination-log"),
    ]


def test_what_the_pod_mounts_itself_is_not_mounted_over() -> None:
    own = Mount("/mine", "/etc/hosts")
    spec = order({"terminationMessagePath": "/tmp/last"}, (own,))
    assert {mount.target: mount.source for mount in spec.mounts} == {
        "/etc/hosts": "/mine",
        "/etc/resolv.conf": "/pods/u/resolv.conf",
        "/tmp/last": "/pods/u/c/3.message",
    }


@pytest.mark.parametrize(
    ("env", "tty", "found"),
    [
        ({}, False, {"HOSTNAME": "host"}),
        ({"HOSTNAME": "mine", "PATH": "/bin"}, False, {"HOSTNAME": "mine", "PATH": "/bin"}),
        ({}, True, {"HOSTNAME": "host", "TERM": "xterm"}),
        ({"TERM": "dumb"}, True, {"HOSTNAME": "host", "TERM": "dumb"}),
    ],
)
def test_everybody_has_a_path_and_a_host_name_and_on_a_terminal_its_kind(
    env: dict[str, str], tty: bool, found: dict[str, str]
) -> None:
    usual = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    spec = order({"tty": tty}, env=env)
    assert (spec.env, spec.tty) == (usual | found, tty)


@pytest.mark.parametrize(
    ("asked", "of_image", "signal"),
    [
        (None, "", "SIGTERM"),
        (None, "SIGQUIT", "SIGQUIT"),
        (None, "QUIT", "SIGQUIT"),
        (None, "37", "37"),
        ("SIGUSR1", "SIGQUIT", "SIGUSR1"),
    ],
)
def test_the_pods_stop_signal_comes_before_the_images(asked: str | None, of_image: str, signal: str) -> None:
    lifecycle = {"lifecycle": {"stopSignal": asked}} if asked else {}
    assert order(lifecycle, stop_signal=of_image).stop_signal == signal


@pytest.mark.parametrize(
    ("asked", "of_image", "cwd"), [("", "", "/"), ("", "/srv", "/srv"), ("/mine", "/srv", "/mine")]
)
def test_the_pods_directory_comes_before_the_images(asked: str, of_image: str, cwd: str) -> None:
    assert order({"workingDir": asked}, working_dir=of_image).cwd == cwd


def test_labels_are_enough_to_adopt_the_container_by() -> None:
    assert (
        order({}).labels.items()
        >= {
            "io.kubernetes.pod.uid": "u",
            "io.kubernetes.pod.name": "web",
            "io.kubernetes.pod.namespace": "ns",
            "io.kubernetes.container.name": "c",
            "io.kubernetes.container.restartCount": "3",
            "sampan.image": "docker.io/library/web:latest",
        }.items()
    )
    assert order({}).labels == order({"env": [{"name": "A", "value": "1"}]}).labels
    changed, label = order({"image": "web:2"}).labels, "io.kubernetes.container.hash"
    assert changed[label] != order({}).labels[label]


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("docker.io/library/web:1", "docker.io/library/web"),
        ("localhost:5000/web:1", "localhost:5000/web"),
        ("localhost:5000/web", "localhost:5000/web"),
        ("a.example/b/c@sha256:00", "a.example/b/c"),
        ("a.example/b/c:1@sha256:00", "a.example/b/c"),
    ],
)
def test_an_image_is_told_by_name_and_digest(reference: str, name: str) -> None:
    found: Image = replace(image("web"), reference=reference, digest="sha256:ff")
    assert image_id(found) == f"{name}@sha256:ff"
