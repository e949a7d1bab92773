"""What form a client wants its answer in, by its Accept header.

Source: reference/using-api/api-concepts, "Alternate representations of resources".
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, TypeVar

from sampan.api import errors

JSON, YAML = "application/json", "application/yaml"
DISCOVERY = "APIGroupDiscoveryList"
_T = TypeVar("_T")
_FORMATS = {JSON: JSON, "*/*": JSON, "application/*": JSON, YAML: YAML}
_VIEWS = {
    ("Table", "meta.k8s.io", "v1"),
    ("Table", "meta.k8s.io", "v1beta1"),
    ("PartialObjectMetadata", "meta.k8s.io", "v1"),
    ("PartialObjectMetadataList", "meta.k8s.io", "v1"),
    (DISCOVERY, "apidiscovery.k8s.io", "v2"),
}


class Form(NamedTuple):
    """`media` is JSON or YAML; `view` is "" for the object itself, else the kind it is shown as."""

    media: str = JSON
    view: str = ""
    version: str = ""

    @property
    def content_type(self) -> str:
        if self.view == DISCOVERY:
            return f"{self.media};g=apidiscovery.k8s.io;v={self.version};as={self.view}"
        return self.media


PLAIN = Form()


@lru_cache(maxsize=512)
def choose(accept: str, discovery: bool = False) -> Form:
    """The first form of the header, by its order of preference, that is served; 406 when none is."""
    if not accept or accept == JSON:
        return PLAIN
    for media, params, _ in _offers(accept):
        known = _FORMATS.get(media)
        if known is None:
            continue
        view = params.get("as", "")
        if not view:
            return Form(known)
        wanted = (view, params.get("g", ""), params.get("v", ""))
        if wanted in _VIEWS and (view == DISCOVERY) == discovery:
            return Form(known, view, wanted[2])
    raise errors.not_acceptable(
        f"only the following media types are accepted: {JSON}, {YAML}, {JSON};as=Table;g=meta.k8s.io;v=v1"
    )


def pick(accept: str, served: Mapping[str, _T]) -> _T:
    """What `served` has for the first media type of the header that is in it; its first value for an empty
    header, 406 when there is none."""
    if not accept:
        return next(iter(served.values()))
    for media, _, _ in _offers(accept):
        if media in served:
            return served[media]
    raise errors.not_acceptable(f"only the following media types are accepted: {', '.join(served)}")


def _offers(accept: str) -> list[tuple[str, dict[str, str], float]]:
    """The media types of the header, the most wanted first."""
    offers = [_read(part) for part in accept.split(",") if part.strip()]
    return sorted(offers, key=lambda offer: -offer[2])


def _read(part: str) -> tuple[str, dict[str, str], float]:
    media, *pieces = (piece.strip() for piece in part.split(";"))
    params = dict(piece.split("=", 1) for piece in pieces if "=" in piece)
    try:
        quality = float(params.get("q", "1"))
    except ValueError:
        quality = 1.0
    return media.lower(), params, quality
