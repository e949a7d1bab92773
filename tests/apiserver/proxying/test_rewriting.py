"""Locations and links, seen from outside."""

from __future__ import annotations

import time
import zlib

import pytest

from sampan.apiserver.proxying import rewriting

PREFIX = "/api/v1/namespaces/d/pods/p/proxy"
HOST, ASKED = "10.244.0.5:80", "127.0.0.1:6443"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/", f"{PREFIX}/"),
        ("/a/b?c=d#e", f"{PREFIX}/a/b?c=d#e"),
        ("/a/", f"{PREFIX}/a/"),
        ("/../x", f"{PREFIX}/x"),
        ("http://10.244.0.5:80/a", f"{PREFIX}/a"),
        ("https://127.0.0.1:6443/a", f"{PREFIX}/a"),
        (f"{PREFIX}/a", f"{PREFIX}/a"),
        ("a/b", "a/b"),
        ("?x", "?x"),
        ("http://example.org/a", "http://example.org/a"),
        ("//example.org/a", "//example.org/a"),
    ],
)
def test_location(text: str, expected: str) -> None:
    assert rewriting.location(text, PREFIX, HOST, ASKED) == expected


PAGE = b"""<!DOCTYPE html><HTML><a href="/x">x</a><a class='b' HREF='/y?z'>y</a><img src=/i.png>
<a href="rel">r</a><script src="/s.js"></script><b href="/no">n</b><form action="http://example.org/">
<a title="/t" href = "/u"></a>"""
SEEN = PAGE.replace(b'"/x"', b'"P/x"').replace(b"'/y?z'", b"'P/y?z'").replace(b"=/i.png", b"=P/i.png")
SEEN = SEEN.replace(b'"/s.js"', b'"P/s.js"').replace(b'"/u"', b'"P/u"').replace(b"P/", PREFIX.encode() + b"/")


def test_links() -> None:
    assert rewriting.html(PAGE, "", PREFIX, HOST, ASKED) == SEEN


@pytest.mark.parametrize(("encoding", "window"), [("gzip", 31), ("deflate", 15)])
def test_compressed_pages(encoding: str, window: int) -> None:
    packed = zlib.compressobj(wbits=window)
    body = packed.compress(PAGE) + packed.flush()
    changed = rewriting.html(body, encoding, PREFIX, HOST, ASKED)
    assert changed is not None and zlib.decompress(changed, window) == SEEN


def test_what_cannot_be_read_stays_as_it_is() -> None:
    assert rewriting.html(b"x", "br", PREFIX, HOST, ASKED) is None
    assert rewriting.html(b"no gzip", "gzip", PREFIX, HOST, ASKED) is None
    bomb = zlib.compressobj(wbits=31)
    packed = bomb.compress(bytes(64 << 20)) + bomb.flush()
    assert rewriting.html(packed, "gzip", PREFIX, HOST, ASKED) is None


@pytest.mark.parametrize(
    "page", [b'<a href="' * 100_000, b"<a " * 300_000, b"<a =" * 200_000, b"<" * 1_000_000]
)
def test_no_page_takes_long(page: bytes) -> None:
    begun_s = time.process_time()
    rewriting.html(page, "", PREFIX, HOST, ASKED)
    assert time.process_time() - begun_s < 10
