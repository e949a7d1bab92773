from __future__ import annotations

import base64
from typing import Any, cast

import orjson
import pytest

from sampan.kubelet import pullsecrets
from sampan.kubelet.references import References


class Secrets:
    """Stands where References stands."""

    def __init__(self, **found: dict[str, object]) -> None:
        self._found = found

    async def get(self, resource: object, namespace: str, name: str) -> object:
        return self._found.get(name)


def secret(key: str, text: bytes) -> dict[str, object]:
    return {"data": {key: base64.b64encode(text).decode()}}


def pod(*names: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "n"}, "spec": {"imagePullSecrets": [{"name": name} for name in names]}}


async def test_both_kinds_are_read_and_missing_ones_told() -> None:
    new = {"auths": {"q.io": {"auth": "YTpi"}}}
    known = Secrets(
        new=secret(".dockerconfigjson", orjson.dumps(new)),
        old=secret(".dockercfg", orjson.dumps(new["auths"])),
        other=secret("tls.key", b"x"),
    )
    found = await pullsecrets.documents(cast("References", known), pod("new", "gone", "old", "other", ""))
    assert found == ([new, new], ["gone"])


async def test_what_is_no_json_is_a_fault() -> None:
    known = Secrets(bad=secret(".dockerconfigjson", b"{"))
    with pytest.raises(ValueError, match="unexpected end"):
        await pullsecrets.documents(cast("References", known), pod("bad"))
