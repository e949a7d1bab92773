"""A tiny image in plain Python: the host's static busybox, as an OCI layout."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

BUSYBOX = Path("/bin/busybox")

PASSWD = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"
GROUP = "root:x:0:\nalice:x:1000:\nstaff:x:50:alice\n"


def tree() -> dict[str, bytes | str | None]:
    """Path -> content; str is a link's target; None is a directory."""
    applets = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
    found: dict[str, bytes | str | None] = dict.fromkeys(("bin", "etc", "tmp", "root", "proc", "dev", "sys"))
    found["bin/busybox"] = BUSYBOX.read_bytes()
    found |= {f"bin/{name}": "busybox" for name in applets if name != "busybox"}
    found["etc/passwd"], found["etc/group"] = PASSWD.encode(), GROUP.encode()
    return found


def layer(entries: Mapping[str, bytes | str | None]) -> bytes:
    """An uncompressed tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if content is None:
                info.type = tarfile.DIRTYPE
                info.mode = 0o1777 if name == "tmp" else 0o755
                tar.addfile(info)
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def layout(
    directory: Path, layers: Sequence[bytes], *, tag: str = "", compress: bool = True, **config: object
) -> str:
    """Writes an OCI layout; returns the manifest's digest. `config` goes into the image's config."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def put(data: bytes, media: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}

    kind = "application/vnd.oci.image"
    suffix = "tar+gzip" if compress else "tar"
    descriptors = [
        put(gzip.compress(data, 1, mtime=0) if compress else data, f"{kind}.layer.v1.{suffix}")
        for data in layers
    ]
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {
            "type": "layers",
            "diff_ids": ["sha256:" + hashlib.sha256(data).hexdigest() for data in layers],
        },
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": put(json.dumps(document).encode(), f"{kind}.config.v1+json"),
        "layers": descriptors,
    }
    descriptor = put(json.dumps(manifest).encode(), f"{kind}.manifest.v1+json")
    if tag:
        descriptor["annotations"] = {"org.opencontainers.image.ref.name": tag}
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [descriptor]}))
    return str(descriptor["digest"])
