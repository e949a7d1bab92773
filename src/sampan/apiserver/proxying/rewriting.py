"""Answers of a proxied server that name paths of its own: `Location`, and links in HTML. Pure.

The server does not know that its clients see it below `/api/v1/…/proxy`; root-relative references are given
that prefix, all others stand as they are.
"""

from __future__ import annotations

import posixpath
import re
import zlib
from urllib.parse import urlsplit, urlunsplit

LIMIT_BYTES = 2 << 20
"""HTML beyond that is passed on as it is."""

_ATTRIBUTES = {
    "a": ("href",),
    "applet": ("codebase",),
    "area": ("href",),
    "audio": ("src",),
    "base": ("href",),
    "blockquote": ("cite",),
    "body": ("background",),
    "button": ("formaction",),
    "command": ("icon",),
    "del": ("cite",),
    "embed": ("src",),
    "form": ("action",),
    "frame": ("longdesc", "src"),
    "head": ("profile",),
    "html": ("manifest",),
    "iframe": ("longdesc", "src"),
    "img": ("longdesc", "src", "usemap"),
    "input": ("src", "formaction", "usemap"),
    "ins": ("cite",),
    "link": ("href",),
    "object": ("classid", "codebase", "data", "usemap"),
    "q": ("cite",),
    "script": ("src",),
    "source": ("src",),
    "video": ("poster", "src"),
}
"""Which attributes of which HTML elements are URLs."""

# Bounded, so that no page can make the search quadratic.
_TAG = re.compile(rb"""<([A-Za-z]{1,16})\b((?:[^<>"']{1,4096}+|"[^"]{0,4096}+"|'[^']{0,4096}+'){1,64}+)>""")
_ATTRIBUTE = re.compile(
    rb"""(\s)([A-Za-z]{1,16})(\s{0,8}=\s{0,8})("[^"]{0,4096}+"|'[^']{0,4096}+'|[^\s"'>]+)"""
)
_INFLATE = {"": None, "gzip": 31, "deflate": 15}


def location(text: str, prefix: str, host: str, asked_host: str) -> str:
    """A `Location` as the client has to follow it. `host`: the server's own address and port."""
    parts = urlsplit(text)
    elsewhere = parts.netloc and parts.netloc not in (host, asked_host)
    if elsewhere or not parts.path.startswith("/") or parts.path.startswith(f"{prefix}/"):
        return text
    joined = prefix + posixpath.normpath(f"/{parts.path.lstrip('/')}")
    path = joined + "/" if parts.path.endswith("/") and not joined.endswith("/") else joined
    return urlunsplit(("", "", path, parts.query, parts.fragment))


def is_html(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "text/html"


def html(body: bytes, encoding: str, prefix: str, host: str, asked_host: str) -> bytes | None:
    """The page with its links rewritten, in the same content encoding; None if it is to stay as it is."""
    if encoding not in _INFLATE:
        return None
    window = _INFLATE[encoding]
    if window is not None:
        inflate = zlib.decompressobj(window)
        try:
            page = inflate.decompress(body, LIMIT_BYTES)
        except zlib.error:
            return None
        if inflate.unconsumed_tail:
            return None
    else:
        page = body
    changed = _TAG.sub(lambda tag: _tag(tag, prefix, host, asked_host), page)
    if window is None:
        return changed
    deflate = zlib.compressobj(wbits=window)
    return deflate.compress(changed) + deflate.flush()


def _tag(tag: re.Match[bytes], prefix: str, host: str, asked_host: str) -> bytes:
    wanted = _ATTRIBUTES.get(tag[1].decode().lower(), ())

    def attribute(found: re.Match[bytes]) -> bytes:
        if found[2].decode().lower() not in wanted:
            return found[0]
        value = found[4]
        quote = value[:1] if value[:1] in (b'"', b"'") else b""
        text = value.strip(b"\"'").decode("latin-1")
        try:
            link = location(text, prefix, host, asked_host).encode("latin-1")
        except ValueError:
            return found[0]
        return found[1] + found[2] + found[3] + quote + link + quote

    return b"<" + tag[1] + _ATTRIBUTE.sub(attribute, tag[2]) + b">" if wanted else tag[0]
