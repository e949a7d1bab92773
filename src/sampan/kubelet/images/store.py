"""Images on disk, shared by all clusters of a machine.

Below `root`:
    images.json       the catalogue       blobs/sha256/   manifests, configurations, layers as they came
    l/NAME/           unpacked layers     tmp/            pulls under way
    in-use.lock       held shared while images are added, exclusively while what nobody names is deleted

A pull asks for the digest, copies what is missing, unpacks each layer once, and enters the name last; so a
name in the catalogue is always whole. In one process pulls of one reference are one task, and each layer is
unpacked by one; two processes may unpack the same layer, the first to rename its directory into place wins.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import os
import shutil
import tarfile
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sampan.kubelet.images import layers, layout
from sampan.kubelet.images.catalogue import Catalogue, Entry, locked
from sampan.kubelet.images.contract import Image, ImageFault
from sampan.kubelet.images.reference import normalise, parse
from sampan.kubelet.images.skopeo import Skopeo, SkopeoFault

log = logging.getLogger(__name__)

_NAME_CHARS = 16


class ImageStore:
    """Keeps contract.Images. `mirrors`: registry host -> URL that is asked in its place first."""

    def __init__(self, root: Path, mirrors: Mapping[str, str] | None = None) -> None:
        self.root = root.absolute()
        self._layers, self._tmp = self.root / "l", self.root / "tmp"
        self._blobs = layout.Blobs(self.root / "blobs")
        self._catalogue = Catalogue(self.root)
        self._use_lock = self.root / "in-use.lock"
        self._skopeo = Skopeo(mirrors or {}, self._tmp)
        self._pulls: dict[str, asyncio.Task[Image]] = {}
        self._unpacking: dict[str, asyncio.Lock] = {}

    async def open(self) -> None:
        for directory in (self.root, self._layers, self._tmp, self._blobs.directory / "sha256"):
            directory.mkdir(parents=True, exist_ok=True, mode=0o711)
        self._catalogue.entries()

    # -- what there is

    def find(self, reference: str) -> Image | None:
        """Also by the bare image ID. Raises ImageFault("InvalidImageName")."""
        entries = self._catalogue.entries()
        wanted = parse(reference)
        if (entry := entries.get(str(wanted))) is not None:
            return entry.image(self._layers)
        if wanted.digest:
            for entry in entries.values():
                if entry.digest == wanted.digest and parse(entry.reference).name == wanted.name:
                    return entry.image(self._layers)
        return None

    def listing(self) -> Sequence[Image]:
        return [entry.image(self._layers) for entry in self._catalogue.entries().values()]

    # -- pulling

    async def pull(self, reference: str, *, auth: Sequence[Mapping[str, object]] = ()) -> Image:
        name = normalise(reference)
        task = self._pulls.get(name)
        if task is None:
            task = asyncio.create_task(self._pull(name, auth), name=f"pull {name}")
            self._pulls[name] = task
            task.add_done_callback(lambda _: self._pulls.pop(name, None))
        # One caller's cancellation leaves the others their pull.
        return await asyncio.shield(task)

    async def _pull(self, name: str, auth: Sequence[Mapping[str, object]]) -> Image:
        reference = parse(name)
        try:
            found = await self._skopeo.ask(reference, auth)
            present = self._catalogue.entries().get(name)
            if present is not None and present.digest == found.digest and self._whole(present):
                return present.image(self._layers)
            async with self._adding() as target:
                await self._skopeo.copy(reference, found, target, self._blobs.directory, auth)
                (descriptor,) = layout.index(target)
                manifest = await asyncio.to_thread(layout.manifest, self._blobs, descriptor)
                return await self._enter(name, found.digest, manifest)
        except (SkopeoFault, layout.LayoutFault, layers.LayerFault, OSError) as error:
            text = f'failed to pull and unpack image "{name}": {error}'
            raise ImageFault("ErrImagePull", text) from error

    @asynccontextmanager
    async def _adding(self) -> AsyncIterator[Path]:
        """An empty directory, while nothing is collected; waits for a collection to end."""
        fd = os.open(self._use_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await asyncio.to_thread(fcntl.flock, fd, fcntl.LOCK_SH)
            with tempfile.TemporaryDirectory(dir=self._tmp) as directory:
                yield Path(directory)
        finally:
            os.close(fd)

    def _whole(self, entry: Entry) -> bool:
        return all((self._layers / layer).is_dir() for layer in entry.layers)

    async def _enter(self, name: str, digest: str, manifest: layout.Manifest) -> Image:
        """Unpacks what is missing, then gives it the name."""
        stack: list[str] = []  # topmost first
        for descriptor, diff_id in zip(manifest.layers, manifest.diff_ids, strict=True):
            stack.insert(0, await self._unpacked(descriptor, diff_id, stack))
        blobs = (manifest.digest, manifest.config_digest, *(layer.digest for layer in manifest.layers))
        entry = Entry(
            reference=name,
            digest=digest,
            id=manifest.config_digest,
            layers=tuple(dict.fromkeys(stack)),
            blobs=blobs,
            size_bytes=manifest.size_bytes,
            config=manifest.config,
        )
        self._catalogue.change(lambda entries: entries.update({name: entry}))
        return entry.image(self._layers)

    async def _unpacked(self, descriptor: layout.Descriptor, diff_id: str, below: Sequence[str]) -> str:
        """The directory name of a layer: of its content, or of its stack if it depends on what is below."""
        own = diff_id.partition(":")[2][:_NAME_CHARS]
        chain = hashlib.sha256("\n".join([diff_id, *below]).encode()).hexdigest()[:_NAME_CHARS]
        async with self._unpacking.setdefault(diff_id, asyncio.Lock()):
            for name in (own, chain):
                if (self._layers / name).is_dir():
                    return name
            with tempfile.TemporaryDirectory(dir=self._tmp) as directory:
                target = Path(directory, "layer")
                target.mkdir()
                target.chmod(0o755)
                lower = [self._layers / name for name in below]
                blob = self._blobs.path(descriptor.digest)
                result = await asyncio.to_thread(layers.unpack, blob, target, diff_id, lower)
                name = chain if result.depends_on_lower else own
                try:
                    target.rename(self._layers / name)
                except OSError:
                    if not (self._layers / name).is_dir():
                        raise
                return name

    # -- loading

    async def load(self, archive: str, reference: str = "") -> Sequence[Image]:
        path = Path(archive)
        try:
            if path.is_dir():
                async with self._adding():
                    return await self._load_layout(path, path.name, reference)
            if not path.exists():
                raise layout.LayoutFault("no such file or directory")
            return await self._load_archive(path, reference)
        except (SkopeoFault, layout.LayoutFault, layers.LayerFault, tarfile.TarError, OSError) as error:
            raise ImageFault("ErrImagePull", f"failed to load {archive}: {error}") from error

    async def _load_archive(self, path: Path, reference: str) -> Sequence[Image]:
        async with self._adding() as scratch:
            if await asyncio.to_thread(_extract_layout, path, scratch / "oci"):
                return await self._load_layout(scratch / "oci", path.name, reference)
            tags = await self._skopeo.archive_tags(path)
            if reference and len(tags) > 1:
                raise layout.LayoutFault(
                    f"it holds several images, so {reference} could be any: {', '.join(tags)}"
                )
            loaded = []
            for number, tag in enumerate(tags or [""]):
                target = scratch / str(number)
                await self._skopeo.unarchive(
                    path, tag if len(tags) > 1 else "", target, self._blobs.directory
                )
                (descriptor,) = layout.index(target)
                manifest = await asyncio.to_thread(layout.manifest, self._blobs, descriptor)
                name = normalise(reference or tag or _stem(path.name))
                loaded.append(await self._enter(name, manifest.digest, manifest))
            return loaded

    async def _load_layout(self, source: Path, file_name: str, reference: str) -> Sequence[Image]:
        named = [(d, _name_of(d, file_name)) for d in layout.index(source)]
        if reference:
            wanted = normalise(reference)
            named = [(d, n) for d, n in named if n == wanted] or [(d, wanted) for d, _ in named]
            if len(named) != 1:
                raise layout.LayoutFault(f"it holds {len(named)} images, none of them named {wanted}")
        loaded = []
        for descriptor, name in named:
            manifest = await asyncio.to_thread(self._take_in, layout.Blobs(source / "blobs"), descriptor)
            loaded.append(await self._enter(name, descriptor.digest, manifest))
        return loaded

    def _take_in(self, source: layout.Blobs, descriptor: layout.Descriptor) -> layout.Manifest:
        """Copies what is missing; digests are computed again on our side."""
        manifest = layout.manifest(source, descriptor)
        for layer in manifest.layers:
            source.verify(layer)
        for digest in (manifest.digest, manifest.config_digest, *(layer.digest for layer in manifest.layers)):
            target = self._blobs.path(digest)
            if not target.exists():
                with tempfile.NamedTemporaryFile(dir=self._tmp, delete=False) as file:
                    with source.path(digest).open("rb") as blob:
                        shutil.copyfileobj(blob, file, 1 << 20)
                    target.parent.mkdir(exist_ok=True)
                    Path(file.name).rename(target)
        return manifest

    # -- removing

    async def remove(self, reference: str) -> None:
        name = normalise(reference)

        def forget(entries: dict[str, Entry]) -> None:
            entries.pop(name, None)

        await asyncio.to_thread(self._catalogue.change, forget)
        await asyncio.to_thread(self.collect)

    def collect(self) -> None:
        """Deletes layers and blobs that no name leads to, unless a container still stands on them. Blocking.

        While anybody adds an image nothing is deleted: the next collection does it.
        """
        try:
            with locked(self._use_lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
                entries = self._catalogue.entries().values()
                layers_kept = {layer for entry in entries for layer in entry.layers}
                blobs_kept = {blob.partition(":")[2] for entry in entries for blob in entry.blobs}
                mounted = Path("/proc/self/mountinfo").read_text()
                for directory in self._layers.iterdir():
                    if directory.name not in layers_kept and directory.name not in mounted:
                        shutil.rmtree(directory)
                for blob in (self._blobs.directory / "sha256").iterdir():
                    if blob.name not in blobs_kept:
                        blob.unlink()
                for left in self._tmp.iterdir():
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
        except BlockingIOError:
            log.info("images are being added: unused layers are deleted another time")


def _extract_layout(archive: Path, target: Path) -> bool:
    """An OCI archive's files, flat names only; False if it is no OCI archive."""
    with tarfile.open(archive) as tar:
        names = {member.name.removeprefix("./") for member in tar}
        if "oci-layout" not in names and "index.json" not in names:
            return False
        for member in tar:
            parts = [part for part in member.name.split("/") if part not in ("", ".")]
            wanted = parts == ["index.json"] or (len(parts) == 3 and parts[0] == "blobs")
            if not member.isreg() or not wanted or ".." in parts:
                continue
            path = target.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            source = tar.extractfile(member)
            assert source is not None
            with path.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
    return True


def _name_of(descriptor: layout.Descriptor, file_name: str) -> str:
    """The full name if the layout tells it; a bare tag belongs to an image named as the file."""
    if full := descriptor.annotations.get(layout.FULL_NAME):
        return normalise(full)
    name = descriptor.annotations.get(layout.REF_NAME, "")
    if name and not any(mark in name for mark in "/:@"):
        return normalise(f"{_stem(file_name)}:{name}")
    return normalise(name or _stem(file_name))


def _stem(file_name: str) -> str:
    return file_name.partition(".")[0].lower()
