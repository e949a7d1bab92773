"""Image references: `nginx` is `docker.io/library/nginx:latest`.

The grammar is that of the distribution project's reference format (name, then `:tag`, then `@digest`). A
reference with a digest is looked up by the digest; its tag, if any, is only for people.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sampan.kubelet.images.contract import ImageFault

DEFAULT_HOST = "docker.io"

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class Reference:
    """`host` and `path` are always set; at least one of `tag` and `digest` is."""

    host: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        return f"{self.host}/{self.path}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}@{self.digest}" if self.digest else f"{self.name}{tag}"

    @property
    def docker(self) -> str:
        """As skopeo takes it, which refuses a tag and a digest together."""
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


def parse(text: str) -> Reference:
    """Raises ImageFault("InvalidImageName")."""
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _invalid(text, "invalid reference format")
    head, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        head, tag, colon = rest, "", ""
    if colon and not _TAG.fullmatch(tag):
        raise _invalid(text, "invalid reference format")
    first, slash, remainder = head.partition("/")
    if slash and (any(c in first for c in ".:[") or first in ("localhost", "") or first != first.lower()):
        host, path = first, remainder
    else:
        host, path = DEFAULT_HOST, head
    if host in (DEFAULT_HOST, "index.docker.io"):
        host, path = DEFAULT_HOST, path if "/" in path else f"library/{path}"
    if path != path.lower():
        raise _invalid(text, f"invalid reference format: repository name ({path}) must be lowercase")
    if not _HOST.fullmatch(host) or not _PATH.fullmatch(path):
        raise _invalid(text, "invalid reference format")
    if len(f"{host}/{path}") > _MAX_NAME:
        raise _invalid(text, f"repository name must not be more than {_MAX_NAME} characters")
    return Reference(host, path, tag if tag or digest else "latest", digest)


def normalise(text: str) -> str:
    """The full form under which an image is known. Raises ImageFault("InvalidImageName")."""
    return str(parse(text))


def _invalid(text: str, why: str) -> ImageFault:
    quoted = _quoted(text)
    return ImageFault(
        "InvalidImageName",
        f"Failed to apply default image tag {quoted}: couldn't parse image name {quoted}: {why}",
    )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
