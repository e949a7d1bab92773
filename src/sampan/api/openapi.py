"""OpenAPI as served: v3 as an index and a document per group and version, v2 as one document in two forms.

The documents of the built-in kinds are made ahead by `scripts/build-data` (from `openapi_document`,
`openapi_swagger` and `gnostic`) and lie compressed in two archives; serving one means inflating it,
nothing of them stays in memory.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal

import orjson

from sampan.api import resources

if TYPE_CHECKING:
    from zipfile import ZipFile

INDEX_MEMBER = "index.json"
DOCUMENTS, SWAGGER = "openapi.zip", "swagger.zip"

SwaggerForm = Literal["json", "pb"]


def index() -> bytes:
    """GET /openapi/v3: where each document is; the digest in its URL lets clients keep it for good."""
    return _index()


def document(group_version_path: str) -> bytes | None:
    """GET /openapi/v3/PATH for `api/v1`, `apis/apps/v1`, ...; None when there is no such document."""
    if group_version_path not in served():
        return None
    with _archive(DOCUMENTS) as archive:
        return archive.read(f"{group_version_path}.json")


def digest(group_version_path: str) -> str:
    """SHA-256 of a document in upper-case hexadecimal, for ETag and `?hash=`; raises KeyError."""
    return served()[group_version_path]


@cache
def served() -> dict[str, str]:
    """path -> digest of the documents of group versions that have served resources."""
    with _archive(DOCUMENTS) as archive:
        digests: dict[str, str] = orjson.loads(archive.read(INDEX_MEMBER))
    wanted = {entry.base_path.removeprefix("/") for entry in resources.all_resources() if entry.served}
    return {path: value for path, value in digests.items() if path in wanted}


@cache
def _index() -> bytes:
    paths = {
        path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={value}"} for path, value in served().items()
    }
    return orjson.dumps({"paths": paths})


def swagger(form: SwaggerForm) -> bytes:
    """GET /openapi/v2: all group versions that are served, as JSON or as the protobuf of `gnostic`."""
    with _archive(SWAGGER) as archive:
        return archive.read(f"swagger.{form}")


def swagger_digest(form: SwaggerForm) -> str:
    """SHA-256 in upper-case hexadecimal of what `swagger` answers."""
    return _swagger_digests()[form]


@cache
def _swagger_digests() -> dict[str, str]:
    with _archive(SWAGGER) as archive:
        digests: dict[str, str] = orjson.loads(archive.read(INDEX_MEMBER))
    return digests


def _archive(name: str) -> ZipFile:
    # Opened anew each time: once per client and start, against half a megabyte kept for good.
    from zipfile import ZipFile  # which a cluster that nobody asks has no need of

    return ZipFile(resources.DATA / name)
