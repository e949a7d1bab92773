"""Which log and which container is meant, and the words for those that are not there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness import podviews
from harness.podviews import make_view, up
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.streams import ExecOptions, LogOptions
from sampan.kubelet.network.fake import Here
from sampan.kubelet.podview import PodView
from sampan.kubelet.runtime.fake import FakeRuntime
from sampan.kubelet.streams import Streams


def streams(view: PodView | None, pods: Path) -> Streams:
    worker = cast(Any, SimpleNamespace(view=view)) if view is not None else None
    return Streams(FakeRuntime(), lambda uid: worker, pods, Here(), lambda path: Here())


async def text(view: PodView, pods: Path, **options: Any) -> str:
    log = await streams(view, pods).logs(view.pod, LogOptions(**options))
    return b"".join([chunk async for chunk in log]).decode()


def write(pods: Path, attempt: int, text: str, container: str = "web") -> None:
    path = pods / "u" / container / f"{attempt}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"2026-01-02T03:04:05.000000000+00:00 stdout F {text}\n")


async def test_the_attempt_that_runs_and_the_one_before(tmp_path: Path) -> None:
    view = up(make_view("web"))
    (web,) = view.app
    podviews.run(web)
    write(tmp_path, 0, "first")
    write(tmp_path, 1, "second")
    assert await text(view, tmp_path) == "first\n"
    with pytest.raises(StatusError, match='previous terminated container "web" in pod "web" not found'):
        await text(view, tmp_path, previous=True)
    podviews.end(web, 1)
    assert await text(view, tmp_path) == "first\n"
    podviews.run(web)
    assert (await text(view, tmp_path), await text(view, tmp_path, previous=True)) == ("second\n", "first\n")


async def test_a_pod_that_ended_before_this_process_began(tmp_path: Path) -> None:
    view = make_view("web")
    status = {"name": "web", "containerID": "sampan://x", "restartCount": 1, "state": {"terminated": {}}}
    pod = {**view.pod, "status": {"containerStatuses": [status]}}
    write(tmp_path, 0, "first")
    write(tmp_path, 1, "second")
    node = streams(None, tmp_path)
    for previous, wanted in ((False, b"second\n"), (True, b"first\n")):
        log = await node.logs(pod, LogOptions(previous=previous))
        assert b"".join([chunk async for chunk in log]) == wanted


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        ("ContainerCreating", "ContainerCreating"),
        ("PodInitializing", "PodInitializing"),
        ("ErrImagePull", "image can't be pulled"),
        ("ImagePullBackOff", "trying and failing to pull image"),
        ("CreateContainerConfigError", "CreateContainerConfigError"),
    ],
)
async def test_a_container_that_has_not_begun(tmp_path: Path, reason: str, why: str) -> None:
    view = make_view("web")
    view.pod = {**view.pod, "status": _waiting(reason)}
    with pytest.raises(StatusError) as caught:
        await text(view, tmp_path, follow=True)
    assert str(caught.value) == f'container "web" in pod "web" is waiting to start: {why}'
    assert caught.value.code == 400


def _waiting(reason: str) -> Obj:
    return {"containerStatuses": [{"name": "web", "state": {"waiting": {"reason": reason}}}]}


async def test_which_container_is_meant(tmp_path: Path) -> None:
    view = up(make_view("one", "two", init=("before",)))
    for container in view.containers:
        podviews.run(container)
        write(tmp_path, 0, container.name, container.name)
    with pytest.raises(StatusError, match="a container name must be specified for pod web, choose one of"):
        await text(view, tmp_path)
    with pytest.raises(StatusError, match="container three is not valid for pod web"):
        await text(view, tmp_path, container="three")
    assert await text(view, tmp_path, container="before") == "before\n"


async def test_nothing_runs_where_a_command_should(tmp_path: Path) -> None:
    view = up(make_view("web"))
    node = streams(view, tmp_path)
    for ask in (node.exec, node.attach):
        with pytest.raises(StatusError) as caught:
            await ask(view.pod, ExecOptions(command=("true",)), cast(Any, None))
        assert 'unable to upgrade connection: container not found ("web")' in str(caught.value)


async def test_nobody_listens_inside(tmp_path: Path) -> None:
    view = up(make_view("web"))
    with pytest.raises(StatusError) as caught:
        await streams(view, tmp_path).port_forward(view.pod, 1)
    for family in ("IPv4: dial tcp4 127.0.0.1:1", "IPv6: dial tcp6 [::1]:1"):
        assert f"{family}: connect: " in str(caught.value)
