"""Images that come as files: the layout in an OCI archive, and the names of what is in it."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from sampan.kubelet.images import layout
from sampan.kubelet.images.reference import normalise


def extract(archive: Path, target: Path) -> bool:
    """Takes the layout out of an OCI archive, and nothing else that is in it. Blocking.

    False, and nothing is written, if it is no OCI archive (Docker's have no index).
    """
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


def name_of(descriptor: layout.Descriptor, file_name: str) -> str:
    """The full name if the layout tells it; a bare tag belongs to an image named as the file."""
    if full := descriptor.annotations.get(layout.FULL_NAME):
        return normalise(full)
    name = descriptor.annotations.get(layout.REF_NAME, "")
    if name and not any(mark in name for mark in "/:@"):
        return normalise(f"{stem(file_name)}:{name}")
    return normalise(name or stem(file_name))


def stem(file_name: str) -> str:
    """`web` of `web.tar.gz`: what an image without a name is called."""
    return file_name.partition(".")[0].lower()
