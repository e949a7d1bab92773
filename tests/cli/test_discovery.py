"""Whom a machine that joins believes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.api import jws
from sampan.apiserver import pki
from sampan.cli import discovery
from sampan.cli.discovery import Untrusted
from sampan.controllers.bootstrapsigner.controller import kubeconfig

TOKEN = "abcdef.0123456789abcdef"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pki.load_or_create(tmp_path_factory.mktemp("pki")).ca


def info(ca: Path, signed_with: str = "") -> dict[str, dict[str, str]]:
    content = kubeconfig("https://10.0.0.1:6443", ca.read_text())
    token_id, _, secret = signed_with.partition(".")
    signature = {f"jws-kubeconfig-{token_id}": jws.sign(content, token_id, secret)} if signed_with else {}
    return {"data": {"kubeconfig": content, **signature}}


def test_the_ca_that_has_the_hash(ca: Path) -> None:
    pem = ca.read_bytes()
    assert discovery.believed(info(ca), "", discovery.hash_of(pem)) == pem


def test_any_other_is_not_believed_whoever_signed_it(ca: Path) -> None:
    with pytest.raises(Untrusted, match="the server's CA has the hash sha256:"):
        discovery.believed(info(ca, TOKEN), TOKEN, f"sha256:{'0' * 64}")


def test_without_a_hash_the_token_says_whom_to_believe(ca: Path) -> None:
    assert discovery.believed(info(ca, TOKEN), TOKEN, "") == ca.read_bytes()
    for signed in ("", "abcdef.ffffffffffffffff", "fedcba.0123456789abcdef"):
        with pytest.raises(Untrusted, match="not signed with the token abcdef"):
            discovery.believed(info(ca, signed), TOKEN, "")


def test_what_is_signed_is_what_counts(ca: Path) -> None:
    found = info(ca, TOKEN)
    found["data"]["kubeconfig"] += "# another"
    with pytest.raises(Untrusted):
        discovery.believed(found, TOKEN, "")


@pytest.mark.parametrize(
    "content", ["", "certificate-authority-data: %%%", "certificate-authority-data: AAAA"]
)
def test_what_holds_no_ca(content: str) -> None:
    with pytest.raises(Untrusted):
        discovery.believed({"data": {"kubeconfig": content}}, TOKEN, "sha256:" + "0" * 64)
