"""What the kubelet needs of images."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class ImageFault(Exception):
    """`reason` is ErrImagePull, InvalidImageName, ErrImageNeverPull or ImageInspectError."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is ready to run.

    `reference` is what was asked for, normalised (`docker.io/library/nginx:latest`); `digest` the manifest's
    (`sha256:...`), `id` the configuration's; `lower_dirs` the unpacked layers, topmost first. `guards`:
    fingerprints of the credentials that it was fetched with; without any it is for everybody
    (`credentials.opens` says who may).
    """

    reference: str
    digest: str
    id: str
    lower_dirs: Sequence[str]
    size_bytes: int
    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    env: Sequence[str] = ()
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""
    volumes: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    guards: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class UnusedImage:
    """One that no container has; times in seconds since the epoch. `imported`: it came from a file."""

    reference: str
    came_at_s: float
    used_at_s: float
    imported: bool = False


class Images(Protocol):
    on_added: Callable[[], None] | None
    """Called when an image was added, or could not be for want of room."""

    async def open(self) -> None: ...

    def find(self, reference: str) -> Image | None:
        """The image if it is present, without asking anybody."""

    async def pull(
        self,
        reference: str,
        *,
        auth: Sequence[Mapping[str, object]] = (),
        began: Callable[[], None] | None = None,
    ) -> Image:
        """Fetches what is missing. `auth`: decoded `.dockerconfigjson` documents. Raises ImageFault.

        Concurrent pulls of one reference with the same credentials are one pull, which ends when all its
        callers are cancelled. `began` is called when it has waited for its turn.
        """

    def listing(self) -> Sequence[Image]: ...

    async def load(self, file: str, reference: str = "") -> Sequence[Image]:
        """Takes in an OCI or docker archive, or an OCI layout directory (`sampan image import`)."""

    async def remove(self, *references: str) -> None:
        """Forgets the names and deletes what only they led to; what a container stands on stays."""

    def unused(self, wanted: Collection[str]) -> Sequence[UnusedImage]:
        """Images that nothing is mounted from and none of the references names. Blocking."""

    def remember_use(self) -> None:
        """Writes down when images were last looked for. Blocking."""
