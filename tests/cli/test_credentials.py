"""Certificates of a node: asked for, kept where nobody else reads them, renewed in good time."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from sampan.api.resources import CERTIFICATE_REQUESTS
from sampan.apiserver import pki
from sampan.cli import credentials, keymaking
from sampan.cli.credentials import Pair, Refused
from sampan.client.client import Client
from sampan.client.fake import FakeTransport

KEY, REQUEST = b"-----BEGIN PRIVATE KEY-----\nk\n-----END PRIVATE KEY-----\n", b"request"


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    async def make(*subject: object) -> tuple[bytes, bytes]:
        return KEY, REQUEST

    monkeypatch.setattr(keymaking, "make", make)


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return pki.load_or_create(tmp_path_factory.mktemp("pki")).ca.read_bytes()


async def answer(fake: FakeTransport, status: dict[str, object]) -> dict[str, object]:
    """As the signer does, once somebody has asked; the request as it was."""
    client = Client(fake)
    async for event in client.watch(CERTIFICATE_REQUESTS):
        name = event.object["metadata"]["name"]
        await client.patch(CERTIFICATE_REQUESTS, name, {"status": status}, subresource="status")
        return event.object
    raise AssertionError("nobody asks")


async def test_what_is_asked_for_and_where_the_answer_is_kept(tmp_path: Path, pem: bytes) -> None:
    fake, pair = FakeTransport(), Pair(tmp_path / "pki" / "client.pem")
    asking = asyncio.create_task(credentials.obtain(Client(fake), pair, "n1"))
    request = await answer(fake, {"certificate": base64.b64encode(pem).decode()})
    await asking
    assert request["spec"] == {
        "request": base64.b64encode(REQUEST).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
        "usages": ["digital signature", "client auth"],
    }
    assert pair.path.read_bytes() == pem + KEY
    assert pair.path.stat().st_mode & 0o777 == 0o600
    assert pair.path.parent.stat().st_mode & 0o777 == 0o700


async def test_a_serving_certificate_is_another_signers(tmp_path: Path, pem: bytes) -> None:
    fake = FakeTransport()
    work = credentials.obtain(Client(fake), Pair(tmp_path / "serving.pem"), "n1", ["n1", "10.0.0.1"])
    asking = asyncio.create_task(work)
    request = await answer(fake, {"certificate": base64.b64encode(pem).decode()})
    await asking
    spec = request["spec"]
    assert isinstance(spec, dict)
    assert spec["signerName"] == "kubernetes.io/kubelet-serving"
    assert spec["usages"] == ["digital signature", "server auth"]


async def test_a_request_that_is_denied_says_why(tmp_path: Path) -> None:
    fake = FakeTransport()
    asking = asyncio.create_task(credentials.obtain(Client(fake), Pair(tmp_path / "c.pem"), "n1"))
    await answer(fake, {"conditions": [{"type": "Denied", "status": "True", "message": "not you"}]})
    with pytest.raises(Refused, match="denied: not you"):
        await asking


def test_a_pair_is_good_until_its_certificate_ends(tmp_path: Path, pem: bytes) -> None:
    pair = Pair(tmp_path / "x.pem")
    assert not pair.good(0)
    pair.keep(pem, KEY)
    ends_s = pair.span()[1]
    assert pair.good(ends_s - 1) and not pair.good(ends_s)


@pytest.mark.parametrize(("part", "due"), [(0.7, 170.0), (0.9, 190.0)])
def test_when_it_is_time(part: float, due: float) -> None:
    assert credentials.due_at(100, 200, part) == due


async def test_it_is_renewed_when_most_of_its_life_is_over(
    tmp_path: Path, pem: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair(tmp_path / "client.pem")
    pair.keep(pem, b"old")
    begins, ends = pair.span()
    now_s, slept, renewed = begins, [], asyncio.Event()
    real_sleep = asyncio.sleep

    async def sleep(delay_s: float) -> None:
        nonlocal now_s
        now_s += delay_s
        slept.append(delay_s)
        await real_sleep(0)

    async def obtain(client: Client, pair: Pair, node: str, names: object) -> None:
        if len(slept) == 1:
            raise Refused("not now")
        pair.keep(pem, b"new")

    monkeypatch.setattr(credentials, "LONGEST_SLEEP_S", float("inf"))
    monkeypatch.setattr(credentials.asyncio, "sleep", sleep)
    monkeypatch.setattr(credentials, "obtain", obtain)
    client = Client(FakeTransport())
    keeping = asyncio.create_task(
        credentials.renew(lambda: client, pair, "n1", (), renewed.set, lambda: now_s)
    )
    await renewed.wait()
    keeping.cancel()
    assert 0.7 <= slept[0] / (ends - begins) <= 0.9
    assert slept[1] == credentials.RETRY_S, "a refusal is no end"
    assert pair.path.read_bytes().endswith(b"new")
