"""Images on disk, shared by all clusters of a machine.

Below `root`:
    images.json       the catalogue       blobs/sha256/   manifests, configurations, layers as they came
    l/NAME/           unpacked layers     tmp/            pulls under way
    calls/              configurations and credentials of the calls of skopeo that are under way
    in-use.lock       held shared while images are added, exclusively while what nobody names is deleted

A pull asks for the digest, copies what is missing, unpacks each layer once, and enters the name last; so a
name in the catalogue is always whole. Nothing is believed by its name: a blob whose content has another
digest is thrown away and fetched anew. In one process equal pulls are one task (`pulls`), and each layer is
unpacked by one; two processes may unpack the same layer, the first to rename its directory into place wins.

Only root may enter: old layers hold setuid programs that containers have long been rid of (CVE-2021-41091).
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import os
import re
import shutil
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from sampan.kubelet.images import archive, layers, layout
from sampan.kubelet.images.catalogue import Catalogue, Entry, locked
from sampan.kubelet.images.contract import Image, ImageFault, UnusedImage
from sampan.kubelet.images.credentials import Credential, matching
from sampan.kubelet.images.layerstream import LayerFault
from sampan.kubelet.images.pulls import Pulls
from sampan.kubelet.images.reference import normalise, parse
from sampan.kubelet.images.skopeo import COPY_DEADLINE_S, Found, Skopeo, SkopeoFault

log = logging.getLogger(__name__)

_NAME_CHARS = 16
MAX_PARALLEL_PULLS = 4
_PULL_FAULTS = (SkopeoFault, layout.LayoutFault, LayerFault, OSError)


class ImageStore:
    """Keeps contract.Images. `mirrors`: registry host -> URL that is asked in its place first."""

    def __init__(
        self, root: Path, mirrors: Mapping[str, str] | None = None, *, parallel: int = MAX_PARALLEL_PULLS
    ) -> None:
        self.root = root.absolute()
        self._layers, self._tmp, self._calls = self.root / "l", self.root / "tmp", self.root / "calls"
        self._blobs = layout.Blobs(self.root / "blobs")
        self._catalogue = Catalogue(self.root)
        self._use_lock = self.root / "in-use.lock"
        self._skopeo = Skopeo(mirrors or {}, self._calls)
        self._pulls = Pulls(parallel)
        self._used: dict[str, float] = {}
        self.on_added: Callable[[], None] | None = None
        self._unpacking: dict[str, asyncio.Lock] = {}

    async def open(self) -> None:
        for directory in (self.root, self._layers, self._tmp, self._calls, self._blobs.directory / "sha256"):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root.chmod(0o700)
        self._catalogue.entries()
        await asyncio.to_thread(self.collect, left_only=True)

    # -- what there is

    def find(self, reference: str) -> Image | None:
        """By name, or by repository and digest. Raises ImageFault("InvalidImageName")."""
        entry = self._entry(reference)
        if entry is None:
            return None
        self._used[entry.reference] = time.time()
        return entry.image(self._layers)

    def _entry(self, reference: str) -> Entry | None:
        entries = self._catalogue.entries()
        wanted = parse(reference)
        if (entry := entries.get(str(wanted))) is not None:
            return entry
        for entry in entries.values() if wanted.digest else ():
            if entry.digest == wanted.digest and parse(entry.reference).name == wanted.name:
                return entry
        return None

    def listing(self) -> Sequence[Image]:
        return [entry.image(self._layers) for entry in self._catalogue.entries().values()]

    # -- pulling

    async def pull(
        self,
        reference: str,
        *,
        auth: Sequence[Mapping[str, object]] = (),
        began: Callable[[], None] | None = None,
    ) -> Image:
        name = normalise(reference)
        # Who has other credentials must be let in by the registry himself.
        keys = frozenset(key.fingerprint for key in matching(parse(name).name, auth))
        return await self._pulls.join((name, keys), lambda: self._pull(name, auth), began)

    async def _pull(self, name: str, auth: Sequence[Mapping[str, object]]) -> Image:
        reference = parse(name)
        try:
            found = await self._skopeo.ask(reference, auth)
            present = self._catalogue.entries().get(name)
            if present is not None and present.digest == found.digest and self._whole(present):
                return await self._admit(present, found.key)
            try:
                return await self._fetch(name, found)
            except (layout.LayoutFault, LayerFault) as fault:
                if not fault.blob:
                    raise
                log.warning("%s; it is fetched anew", fault)
                self._blobs.path(fault.blob).unlink(missing_ok=True)
                return await self._fetch(name, found)
        except _PULL_FAULTS as error:
            if "no space left on device" in str(error).lower():
                await asyncio.to_thread(self.collect)
                self._added()
            text = f'failed to pull and unpack image "{name}": {error}'
            raise ImageFault("ErrImagePull", text) from error

    async def _fetch(self, name: str, found: Found) -> Image:
        async with self._adding() as target:
            await self._skopeo.copy(parse(name), found, target, self._blobs.directory)
            (descriptor,) = layout.index(target)
            manifest = await asyncio.to_thread(layout.manifest, self._blobs, descriptor)
            return await self._enter(name, found.digest, manifest, found.key)

    async def _admit(self, present: Entry, key: Credential | None) -> Image:
        """The registry let somebody in: with this key everybody may, or by this key nobody asked for any."""
        guards = _guards(present, present.digest, key)
        if guards != present.guards:
            changed = replace(present, guards=guards)
            await self._write(changed)
            return changed.image(self._layers)
        return present.image(self._layers)

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

    async def _enter(
        self,
        name: str,
        digest: str,
        manifest: layout.Manifest,
        key: Credential | None = None,
        *,
        imported: bool = False,
    ) -> Image:
        """Unpacks what is missing, then gives it the name."""
        stack: list[str] = []  # topmost first
        for descriptor, diff_id in zip(manifest.layers, manifest.diff_ids, strict=True):
            stack.insert(0, await self._unpacked(descriptor, diff_id, stack))
        blobs = (manifest.digest, manifest.config_digest, *(layer.digest for layer in manifest.layers))
        now_s = time.time()
        present = self._catalogue.entries().get(name)
        entry = Entry(
            reference=name,
            digest=digest,
            id=manifest.config_digest,
            layers=tuple(dict.fromkeys(stack)),
            blobs=blobs,
            size_bytes=manifest.size_bytes,
            config=manifest.config,
            guards=_guards(present, digest, key),
            came_at_s=now_s,
            used_at_s=now_s,
            imported=imported,
        )
        await self._write(entry)
        self._added()
        return entry.image(self._layers)

    async def _write(self, entry: Entry) -> None:
        """Durable when it returns; the disk may take its time."""
        await asyncio.to_thread(
            self._catalogue.change, lambda entries: entries.update({entry.reference: entry})
        )

    def _added(self) -> None:
        if self.on_added is not None:
            self.on_added()

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

    async def load(self, file: str, reference: str = "") -> Sequence[Image]:
        path = Path(file)
        try:
            if path.is_dir():
                async with self._adding():
                    return await self._load_layout(path, path.name, reference)
            if not path.exists():
                raise layout.LayoutFault("no such file or directory")
            return await self._load_archive(path, reference)
        except (SkopeoFault, layout.LayoutFault, LayerFault, tarfile.TarError, OSError) as error:
            raise ImageFault("ErrImagePull", f"failed to load {file}: {error}") from error

    async def _load_archive(self, path: Path, reference: str) -> Sequence[Image]:
        async with self._adding() as scratch:
            if await asyncio.to_thread(archive.extract, path, scratch / "oci"):
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
                name = normalise(reference or tag or archive.stem(path.name))
                loaded.append(await self._enter(name, manifest.digest, manifest, imported=True))
            return loaded

    async def _load_layout(self, source: Path, file_name: str, reference: str) -> Sequence[Image]:
        named = [(d, archive.name_of(d, file_name)) for d in layout.index(source)]
        if reference:
            wanted = normalise(reference)
            named = [(d, n) for d, n in named if n == wanted] or [(d, wanted) for d, _ in named]
            if len(named) != 1:
                raise layout.LayoutFault(f"it holds {len(named)} images, none of them named {wanted}")
        loaded = []
        for descriptor, name in named:
            manifest = await asyncio.to_thread(self._take_in, layout.Blobs(source / "blobs"), descriptor)
            loaded.append(await self._enter(name, descriptor.digest, manifest, imported=True))
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

    async def remove(self, *references: str) -> None:
        found = {reference: self._entry(reference) for reference in references}
        names = [entry.reference if entry else normalise(asked) for asked, entry in found.items()]

        def forget(entries: dict[str, Entry]) -> None:
            for name in names:
                entries.pop(name, None)

        await asyncio.to_thread(self._catalogue.change, forget)
        await asyncio.to_thread(self.collect)

    def unused(self, wanted: Collection[str]) -> Sequence[UnusedImage]:
        mounted = self.mounted()
        named = {entry.reference for reference in wanted if (entry := self._named(reference)) is not None}
        return [
            UnusedImage(
                name, entry.came_at_s, max(entry.used_at_s, self._used.get(name, 0.0)), entry.imported
            )
            for name, entry in self._catalogue.entries().items()
            if name not in named and not (entry.layers and mounted.issuperset(entry.layers))
        ]

    def _named(self, reference: str) -> Entry | None:
        try:
            return self._entry(reference)
        except ImageFault:
            return None  # some Pod's bad name

    def remember_use(self) -> None:
        used, self._used = self._used, {}

        def write(entries: dict[str, Entry]) -> None:
            for name, at_s in used.items():
                if (entry := entries.get(name)) is not None and entry.used_at_s < at_s:
                    entries[name] = replace(entry, used_at_s=at_s)

        if used:
            self._catalogue.change(write)

    def collect(self, *, left_only: bool = False) -> None:
        """Deletes layers and blobs that no name leads to, unless a container stands on them. Blocking.

        While anybody adds an image nothing is deleted: the next collection does it. `left_only`: only what
        killed pulls left.
        """
        try:
            with locked(self._use_lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
                # No lock tells whose call still runs; none runs as long as this.
                ended_s = time.time() - COPY_DEADLINE_S
                calls = [call for call in self._calls.iterdir() if call.stat().st_mtime < ended_s]
                for left in (*self._tmp.iterdir(), *calls):
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
                if left_only:
                    return
                entries = self._catalogue.entries().values()
                layers_kept = {layer for entry in entries for layer in entry.layers} | self.mounted()
                blobs_kept = {blob.partition(":")[2] for entry in entries for blob in entry.blobs}
                for directory in self._layers.iterdir():
                    if directory.name not in layers_kept:
                        # Half a layer under its name would be taken for whole.
                        directory = directory.rename(self._tmp / directory.name)
                        shutil.rmtree(directory)
                for blob in (self._blobs.directory / "sha256").iterdir():
                    if blob.name not in blobs_kept:
                        blob.unlink()
        except BlockingIOError:
            log.info("images are being added: unused layers are deleted another time")

    def mounted(self) -> set[str]:
        """Names of layers that are part of somebody's mount, whichever cluster's."""
        text = Path("/proc/self/mountinfo").read_text()
        return set(re.findall(re.escape(f"{self._layers}/") + r"([0-9a-f]+)", text))


def _guards(present: Entry | None, digest: str, key: Credential | None) -> tuple[str, ...]:
    """Who may use an image now that `key` opened it; None, or a key of the node's, opens it for all."""
    if key is None or key.ours:
        return ()
    if present is None or present.digest != digest:
        return (key.fingerprint,)
    return tuple(dict.fromkeys((*present.guards, key.fingerprint))) if present.guards else ()
