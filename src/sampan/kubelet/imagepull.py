"""Images for one Pod's containers: found, fetched, or the reason why not, in upstream's words.

Source: concepts/containers/images, "Image pull policy" and "ImagePullBackOff".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from sampan.api.errors import StatusError
from sampan.api.podspec import default_pull_policy
from sampan.kubelet import pullsecrets, steady
from sampan.kubelet.backoff import Backoff
from sampan.kubelet.containerview import ContainerView, Fault
from sampan.kubelet.images.contract import Image, ImageFault
from sampan.kubelet.images.credentials import opens
from sampan.kubelet.images.reference import parse
from sampan.kubelet.parts import Parts, Say, Spawn
from sampan.kubelet.podview import PodView


class ImagePull:
    """`spawn` starts a task of the Pod's worker, which looks again when it has ended."""

    def __init__(self, parts: Parts, view: PodView, say: Say, spawn: Spawn) -> None:
        self._parts, self._view, self._say, self._spawn = parts, view, say, spawn
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def find(self, container: ContainerView) -> None:
        """Gives the container its image at once where the policy and the disk allow, else begins a pull."""
        reference = container.spec.get("image", "")
        policy = container.spec.get("imagePullPolicy") or default_pull_policy(reference)
        try:
            found = self._parts.images.find(reference)
        except ImageFault as fault:
            self._failed(container, fault)
            return
        if found is not None and policy != "Always" and not found.guards:
            self._present(container, found)
        elif found is None and policy == "Never":
            self._failed(container, _never(reference))
        else:
            container.pulling = True
            self._tasks[container.name] = self._spawn(self._pull(container, reference, policy), "pull")

    async def _pull(self, container: ContainerView, reference: str, policy: str) -> None:
        """What is present and guarded by credentials is used with one of them, else asked for again."""
        if container.pull_fault is not None:
            container.pull_backoff = container.pull_backoff.after_retry(
                container.pull_fault.at_s, steady.now_s()
            )
        try:
            auth = await self._auth()
            found = self._parts.images.find(reference) if policy != "Always" else None
            if found is not None and opens(found.guards, parse(reference).name, auth):
                self._present(container, found)
            elif policy == "Never":
                raise _never(reference)
            else:
                await self._fetch(container, reference, auth)
        except ImageFault as fault:
            self._failed(container, fault)
        except (StatusError, OSError, ValueError) as error:
            self._failed(container, ImageFault("ErrImagePull", str(error)))
        finally:
            container.pulling = False
            self._tasks.pop(container.name, None)

    async def _fetch(
        self, container: ContainerView, reference: str, auth: Sequence[Mapping[str, object]]
    ) -> None:
        self._say("Normal", "Pulling", f'Pulling image "{reference}"', container)
        asked_s = began_s = time.perf_counter()

        def begin() -> None:
            nonlocal began_s
            began_s = time.perf_counter()

        image = await self._parts.images.pull(reference, auth=auth, began=begin)
        ended_s = time.perf_counter()
        self._parts.counters.image_pull.observe(ended_s - began_s)
        self._say(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{reference}" in {_elapsed(ended_s - began_s)} '
            f"({_elapsed(ended_s - asked_s)} including waiting). Image size: {image.size_bytes} bytes.",
            container,
        )
        self._have(container, image)

    async def _auth(self) -> Sequence[Mapping[str, object]]:
        documents, missing = await pullsecrets.documents(self._parts.references, self._view.pod)
        if missing:
            text = (
                f"Unable to retrieve some image pull secrets ({', '.join(missing)}); "
                "attempting to pull the image may not succeed."
            )
            self._say("Warning", "FailedToRetrieveImagePullSecret", text)
        return documents

    def _present(self, container: ContainerView, image: Image) -> None:
        reference = container.spec.get("image", "")
        text = f'Container image "{reference}" already present on machine and can be accessed by the pod'
        self._say("Normal", "Pulled", text, container)
        self._have(container, image)

    def _have(self, container: ContainerView, image: Image) -> None:
        container.image, container.pull_fault = image, None
        container.pull_backoff = Backoff()

    def _failed(self, container: ContainerView, fault: ImageFault) -> None:
        reference = container.spec.get("image", "")
        first = container.pull_fault is None
        self._parts.counters.pull_failures[fault.reason] += 1
        container.pull_fault = Fault(fault.reason, fault.message, steady.now_s())
        if first:
            # The first repetition comes after ten seconds, not at once as for containers.
            container.pull_backoff = container.pull_backoff.after_retry(steady.now_s(), steady.now_s())
        if fault.reason == "ErrImagePull":
            text = f'Failed to pull image "{reference}": {fault.message}'
            self._say("Warning", "Failed", text, container)
        elif fault.reason == "InvalidImageName":
            self._say("Warning", "InspectFailed", fault.message, container)
        else:
            self._say("Warning", fault.reason, fault.message, container)
        self._say("Warning", "Failed", f"Error: {fault.reason}", container)

    def cancel(self) -> None:
        for task in self._tasks.values():
            task.cancel()


def _never(reference: str) -> ImageFault:
    text = f'Container image "{reference}" is not present with pull policy of Never'
    return ImageFault("ErrImageNeverPull", text)


def _elapsed(seconds: float) -> str:
    """`41ms`, `1.532s`."""
    milliseconds = max(round(seconds * 1000), 1)
    return (
        f"{milliseconds}ms"
        if milliseconds < 1000
        else f"{milliseconds / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    )
