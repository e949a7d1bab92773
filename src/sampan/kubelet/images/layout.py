"""OCI image layouts: index, manifest and configuration as values. Reads files, writes none.

Documents: image-spec 1.0 (image-layout, manifest, config). Blobs are named by their digest and believed only
after it was computed again.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

_CHUNK = 1 << 20
_MAX_DOCUMENT = 8 << 20
_INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_ARCHITECTURES = {
    "x86_64": ("amd64", ("", "v1")),
    "aarch64": ("arm64", ("v8", "")),
    "armv8l": ("arm", ("v8", "v7", "v6", "v5", "")),
    "armv7l": ("arm", ("v7", "v6", "v5", "")),
    "armv6l": ("arm", ("v6", "v5", "")),
    "riscv64": ("riscv64", ("",)),
    "ppc64le": ("ppc64le", ("",)),
    "s390x": ("s390x", ("",)),
}
"""Machine -> architecture, and the variants that run on it, best first."""
_FOREIGN = ("nondistributable", ".foreign.")

REF_NAME = "org.opencontainers.image.ref.name"
FULL_NAME = "io.containerd.image.name"


class LayoutFault(Exception):
    """The layout or a blob of it is not what it claims to be. `blob`: whose content has another digest."""

    def __init__(self, message: str, blob: str = "") -> None:
        super().__init__(message)
        self.blob = blob


@dataclass(frozen=True, slots=True)
class Descriptor:
    digest: str
    size: int
    media_type: str
    annotations: Mapping[str, str]
    platform: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Manifest:
    """`diff_ids[n]` is the digest of layer n uncompressed; bottom first, as in the documents."""

    digest: str
    config_digest: str
    layers: Sequence[Descriptor]
    diff_ids: Sequence[str]
    config: Mapping[str, Any]
    size_bytes: int


class Blobs:
    """A directory of blobs, ALGORITHM/HEX."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, digest: str) -> Path:
        algorithm, colon, value = digest.partition(":")
        if not colon or algorithm not in ("sha256", "sha512") or not value.isalnum():
            raise LayoutFault(f"unsupported digest {digest!r}")
        return self.directory / algorithm / value

    def document(self, digest: str) -> dict[str, Any]:
        path = self.path(digest)
        try:
            if path.stat().st_size > _MAX_DOCUMENT:
                raise LayoutFault(f"document {digest} has more than {_MAX_DOCUMENT} bytes")
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise LayoutFault(f"blob {digest} is missing") from error
        if hashlib.new(digest.partition(":")[0], data).hexdigest() != digest.partition(":")[2]:
            raise LayoutFault(f"blob {digest} is damaged: its content has another digest", digest)
        return _object(data, digest)

    def verify(self, descriptor: Descriptor) -> None:
        """Blocking: reads the whole blob."""
        found = hashlib.new(descriptor.digest.partition(":")[0])
        try:
            with self.path(descriptor.digest).open("rb") as file:
                while chunk := file.read(_CHUNK):
                    found.update(chunk)
        except FileNotFoundError as error:
            raise LayoutFault(f"blob {descriptor.digest} is missing") from error
        if found.hexdigest() != descriptor.digest.partition(":")[2]:
            text = f"blob {descriptor.digest} is damaged: its content has another digest"
            raise LayoutFault(text, descriptor.digest)


def index(layout: Path) -> list[Descriptor]:
    """The images that a layout directory names."""
    try:
        document = _object((layout / "index.json").read_bytes(), "index.json")
    except FileNotFoundError as error:
        raise LayoutFault(f"{layout} is no OCI image layout: it has no index.json") from error
    return _descriptors(document.get("manifests"), "index.json")


def manifest(blobs: Blobs, descriptor: Descriptor) -> Manifest:
    """That of this machine's architecture, if the descriptor is an index of several."""
    document = blobs.document(descriptor.digest)
    digest = descriptor.digest
    for _ in range(4):
        if (
            document.get("mediaType", descriptor.media_type) not in _INDEX_TYPES
            and "manifests" not in document
        ):
            break
        chosen = _for_this_machine(_descriptors(document.get("manifests"), digest))
        digest, document = chosen.digest, blobs.document(chosen.digest)
    else:
        raise LayoutFault(f"{descriptor.digest}: indexes nested too deep")
    config = _descriptors([document.get("config")], digest)[0]
    layers = _descriptors(document.get("layers"), digest)
    for layer in layers:
        if any(mark in layer.media_type for mark in _FOREIGN) and not blobs.path(layer.digest).exists():
            raise LayoutFault(f"layer {layer.digest} is foreign ({layer.media_type}): no registry has it")
    image = blobs.document(config.digest)
    if digest == descriptor.digest:
        _expect_own(image)  # else the index said what it is for
    diff_ids = (image.get("rootfs") or {}).get("diff_ids") or []
    if len(diff_ids) != len(layers):
        raise LayoutFault(f"{digest} has {len(layers)} layers, its configuration {len(diff_ids)}")
    size = sum(layer.size for layer in layers) + config.size
    return Manifest(digest, config.digest, layers, diff_ids, image.get("config") or {}, size)


def _own_platform() -> tuple[str, tuple[str, ...]]:
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, (machine, ("",)))


def _expect_own(image: Mapping[str, Any]) -> None:
    own, _ = _own_platform()
    found = f"{image.get('os') or 'linux'}/{image.get('architecture') or own}"
    if found != f"linux/{own}":
        raise LayoutFault(f"the image is for {found}, this machine is linux/{own}")


def _for_this_machine(choices: Sequence[Descriptor]) -> Descriptor:
    """The best variant for this machine, else an image that does not say what it is for."""
    own, variants = _own_platform()
    fitting = {
        choice.platform.get("variant", ""): choice
        for choice in reversed(choices)
        if (choice.platform.get("os"), choice.platform.get("architecture")) == ("linux", own)
    }
    for variant in variants:
        if variant in fitting:
            return fitting[variant]
    for choice in choices:
        if not choice.platform:
            return choice
    offered = ", ".join(
        sorted(
            {"/".join(filter(None, map(c.platform.get, ("os", "architecture", "variant")))) for c in choices}
        )
    )
    raise LayoutFault(f"no image for linux/{own}, only for {offered or 'nothing'}")


def _descriptors(found: Any, where: str) -> list[Descriptor]:
    try:
        return [
            Descriptor(
                str(entry["digest"]),
                int(entry.get("size", 0)),
                str(entry.get("mediaType", "")),
                entry.get("annotations") or {},
                entry.get("platform") or {},
            )
            for entry in found or []
        ]
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise LayoutFault(f"{where} is malformed") from error


def _object(data: bytes, where: str) -> dict[str, Any]:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise LayoutFault(f"{where} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise LayoutFault(f"{where} is not a JSON object")
    return document
