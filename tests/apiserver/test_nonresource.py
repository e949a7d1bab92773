from __future__ import annotations

from typing import Any, cast

import pytest

from sampan.api import gnostic, openapi
from sampan.api.errors import StatusError
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.nonresource import NonResource
from sampan.apiserver.tokens import Tokens

GNOSTIC = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


class Wire:
    """Takes the place of a connection and keeps what was answered."""

    def __init__(self) -> None:
        self.sent = b""

    def finish(self, exchange: Exchange, *payload: bytes) -> None:
        self.sent += b"".join(payload)


def ask(path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    wire = Wire()
    exchange = Exchange(cast(Any, wire))
    exchange.method, exchange.path = "GET", path
    exchange.headers = {name.replace("_", "-"): value for name, value in headers.items()}
    NonResource(cast(Tokens, None), {}, str).answer(exchange)
    head, _, body = wire.sent.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


@pytest.mark.parametrize(
    ("accept", "content_type", "form"),
    [
        ("", "application/json", "json"),
        ("*/*", "application/json", "json"),
        ("application/json, */*", "application/json", "json"),
        (gnostic.MEDIA_TYPE, GNOSTIC, "pb"),
        ("application/com.github.proto-openapi.spec.v2@v1.0+protobuf", GNOSTIC, "pb"),
        (f"application/json;q=0.5,{GNOSTIC}", GNOSTIC, "pb"),
    ],
)
def test_openapi_v2_comes_as_json_or_protobuf(
    accept: str, content_type: str, form: openapi.SwaggerForm
) -> None:
    code, headers, body = ask("/openapi/v2", accept=accept)
    assert (code, headers["Content-Type"], headers["Vary"]) == (200, content_type, "Accept")
    assert body == openapi.swagger(form)


def test_openapi_v2_comes_in_no_other_form() -> None:
    with pytest.raises(StatusError) as error:
        ask("/openapi/v2", accept="text/html")
    assert error.value.code == 406


def test_openapi_v2_is_sent_once_to_who_remembers_its_tag() -> None:
    tag = ask("/openapi/v2")[1]["ETag"]
    assert ask("/openapi/v2", if_none_match=tag)[::2] == (304, b"")
    # The tag is that of one form.
    assert ask("/openapi/v2", if_none_match=tag, accept=GNOSTIC)[0] == 200


@pytest.mark.parametrize("path", ["/openapi", "/openapi/v1", "/openapi/v2/api/v1", "/openapi/v3/api/v9"])
def test_there_is_no_other_openapi(path: str) -> None:
    with pytest.raises(StatusError) as error:
        ask(path)
    assert error.value.code == 404
