"""Pull policies and who may use what is there, as a Pod's events and status tell it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from harness.kubeletworld import World, make_pod, ready, running, waiting
from sampan.api.objects import Obj
from sampan.kubelet.images.contract import ImageFault
from sampan.kubelet.images.credentials import matching
from sampan.kubelet.images.fake import image

pytestmark = pytest.mark.virtual_time

AUTH = {"auths": {"q.io": {"auth": base64.b64encode(b"alice:secret").decode()}}}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as found:
        yield found


def pod(policy: str, reference: str = "q.io/app:1", **spec: object) -> Obj:
    return make_pod(containers=[{"name": "web", "image": reference, "imagePullPolicy": policy}], **spec)


def secret(namespace: str) -> Obj:
    data = {".dockerconfigjson": base64.b64encode(orjson.dumps(AUTH)).decode()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "key", "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "data": data,
    }


def add_guarded(world: World) -> None:
    (key,) = matching("q.io/app", [AUTH])
    world.images.add(replace(image("q.io/app:1"), guards=(key.fingerprint,)))


async def test_present_is_not_pulled(world: World) -> None:
    world.images.add(image("q.io/app:1"))
    world.api.add(pod("IfNotPresent"))
    await world.until(ready)
    assert world.images.pulls == []
    text = 'Container image "q.io/app:1" already present on machine and can be accessed by the pod'
    assert ("Pulled", text) in await world.said()


async def test_always_asks_the_registry(world: World) -> None:
    world.images.add(image("q.io/app:1"))
    world.images.remote["q.io/app:1"] = image("q.io/app:1", size_bytes=77)
    world.api.add(pod("Always"))
    await world.until(ready)
    assert world.images.pulls == ["q.io/app:1"]
    (text,) = [text for reason, text in await world.said() if reason == "Pulled"]
    assert text.startswith('Successfully pulled image "q.io/app:1" in ')
    assert text.endswith(" including waiting). Image size: 77 bytes.")


async def test_never_does_not(world: World) -> None:
    world.api.add(pod("Never"))
    await world.until(waiting("ErrImageNeverPull"))
    assert world.images.pulls == []


async def test_a_guarded_image_is_used_with_its_credentials(world: World) -> None:
    add_guarded(world)
    found = pod("IfNotPresent", imagePullSecrets=[{"name": "key"}])
    world.api.add(secret(found["metadata"]["namespace"]))
    world.api.add(found)
    await world.until(ready)
    assert world.images.pulls == []


async def test_a_guarded_image_is_not_for_a_pod_without_them(world: World) -> None:
    add_guarded(world)
    world.images.fail("q.io/app:1", ImageFault("ErrImagePull", "pull access denied"))
    world.api.add(pod("IfNotPresent", imagePullSecrets=[{"name": "nowhere"}]))
    await world.until(waiting("ErrImagePull"))
    said = await world.said()
    assert ("Failed", 'Failed to pull image "q.io/app:1": pull access denied') in said
    assert (
        "FailedToRetrieveImagePullSecret",
        "Unable to retrieve some image pull secrets (nowhere); attempting to pull the image may not succeed.",
    ) in said


async def test_never_is_no_way_to_a_guarded_image(world: World) -> None:
    add_guarded(world)
    world.api.add(pod("Never"))
    await world.until(waiting("ErrImageNeverPull"))


async def test_a_bad_name_is_told(world: World) -> None:
    world.api.add(pod("Always", "q.io/App:1"))
    await world.until(waiting("InvalidImageName"))
