"""OpenAPI v3 as served under /openapi/v3: an index, and a document per group and version.

The documents of the built-in kinds are made ahead by `scripts/build-data` (from `openapi_document`) and lie
compressed in one archive; serving one means inflating it, nothing of them stays in memory.
"""

from __future__ import annotations

import io
import zipfile
from functools import cache
from importlib import resources as package_files

import orjson

from sampan.api import resources

INDEX_MEMBER = "index.json"


def index() -> bytes:
    """GET /openapi/v3: where each document is; the digest in its URL lets clients keep it for good."""
    return _index()


def document(group_version_path: str) -> bytes | None:
    """GET /openapi/v3/PATH for `api/v1`, `apis/apps/v1`, ...; None when there is no such document."""
    if group_version_path not in served():
        return None
    with zipfile.ZipFile(io.BytesIO(_archive())) as archive:
        return archive.read(f"{group_version_path}.json")


def digest(group_version_path: str) -> str:
    """SHA-256 of a document in upper-case hexadecimal, for ETag and `?hash=`; raises KeyError."""
    return served()[group_version_path]


@cache
def served() -> dict[str, str]:
    """path -> digest of the documents of group versions that have served resources."""
    with zipfile.ZipFile(io.BytesIO(_archive())) as archive:
        digests: dict[str, str] = orjson.loads(archive.read(INDEX_MEMBER))
    wanted = {entry.base_path.removeprefix("/") for entry in resources.all_resources() if entry.served}
    return {path: value for path, value in digests.items() if path in wanted}


@cache
def _index() -> bytes:
    paths = {
        path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={value}"} for path, value in served().items()
    }
    return orjson.dumps({"paths": paths})


def _archive() -> bytes:
    # Read anew each time: once per client and start, against half a megabyte kept for good.
    return package_files.files("sampan.api").joinpath("data/openapi.zip").read_bytes()
