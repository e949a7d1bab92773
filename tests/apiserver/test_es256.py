"""Both ways to sign under one suite, and each against the other."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from sampan.apiserver import es256
from sampan.apiserver.es256 import Key, KeyUnreadable, LibraryKey, OpenSSLKey

MAKERS = ("the interpreter's OpenSSL", "the library")
MESSAGE = b"header.payload"


def made(maker: str, pem: bytes) -> Key:
    if maker == "the library":
        return LibraryKey(pem)
    openssl = es256.interpreters_openssl()
    if openssl is None:
        pytest.skip("the interpreter's OpenSSL cannot be called from outside")
    return OpenSSLKey(openssl, pem)


def fresh_pem() -> bytes:
    return pem_of(ec.generate_private_key(ec.SECP256R1()))


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


@pytest.fixture(scope="module")
def pem() -> bytes:
    return fresh_pem()


@pytest.mark.parametrize(("signer", "checker"), list(itertools.product(MAKERS, MAKERS)))
def test_what_one_signs_the_other_takes(pem: bytes, signer: str, checker: str) -> None:
    signing, checking = made(signer, pem), made(checker, pem)
    for number in range(300):  # of which some have an r or s that begins with a zero or a high bit
        message = b"message %d" % number
        signature = signing.sign(message)
        assert len(signature) == 64
        assert checking.is_signed(message, signature)


@pytest.mark.parametrize("maker", MAKERS)
def test_the_public_half_is_the_same(pem: bytes, maker: str) -> None:
    key = serialization.load_pem_private_key(pem, None)
    numbers = key.public_key().public_numbers()  # type: ignore[union-attr]
    coordinates = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")  # type: ignore[union-attr]
    public = made(maker, pem).public
    assert len(public) == 91
    assert public.endswith(b"\x04" + coordinates)


WRONG: dict[str, Callable[[bytes], bytes]] = {
    "of another message": lambda signature: signature,
    "one bit": lambda signature: bytes((signature[0] ^ 1,)) + signature[1:],
    "the last bit": lambda signature: signature[:-1] + bytes((signature[-1] ^ 1,)),
    "halves turned round": lambda signature: signature[32:] + signature[:32],
    "zeros": lambda signature: bytes(64),
    "as large as can be": lambda signature: b"\xff" * 64,
    "too short": lambda signature: signature[:-1],
    "too long": lambda signature: signature + b"\0",
    "empty": lambda signature: b"",
}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_signature_is_refused(pem: bytes, maker: str, what: str) -> None:
    key = made(maker, pem)
    signature = key.sign(MESSAGE)
    message = b"another" if what == "of another message" else MESSAGE
    assert not key.is_signed(message, WRONG[what](signature))
    assert key.is_signed(MESSAGE, signature)


@pytest.mark.parametrize("maker", MAKERS)
def test_another_key_is_another_signer(pem: bytes, maker: str) -> None:
    signature = made(maker, fresh_pem()).sign(MESSAGE)
    assert not made(maker, pem).is_signed(MESSAGE, signature)


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize(
    "text", [b"", b"nothing", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_no_key_is_refused(maker: str, text: bytes) -> None:
    with pytest.raises(KeyUnreadable):
        made(maker, text)


@pytest.mark.parametrize("maker", MAKERS)
def test_a_key_of_another_curve_is_refused(maker: str) -> None:
    with pytest.raises(KeyUnreadable, match="P-256"):
        made(maker, pem_of(ec.generate_private_key(ec.SECP384R1())))


@pytest.mark.parametrize("failing", ["key", "signature"])
def test_no_error_is_left_behind_for_tls_to_find(pem: bytes, failing: str) -> None:
    key = made("the interpreter's OpenSSL", pem)
    if failing == "key":
        with pytest.raises(KeyUnreadable):
            made("the interpreter's OpenSSL", b"nothing")
    else:
        assert not key.is_signed(MESSAGE, bytes(64))
    openssl = es256.interpreters_openssl()
    assert openssl is not None
    openssl.ERR_peek_error.restype = ctypes.c_ulong
    assert openssl.ERR_peek_error() == 0


def test_where_openssl_cannot_be_called_the_library_signs(
    pem: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(es256, "interpreters_openssl", lambda: None)
    assert isinstance(es256.load(pem), LibraryKey)


@pytest.mark.parametrize(("r", "s"), [(1, 1), (0x7F, 0x80), (2**255, 2**256 - 1), (2**248 - 1, 2**200)])
def test_der_is_what_the_library_makes_of_it(r: int, s: int) -> None:
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert es256.to_der(raw) == encode_dss_signature(r, s)
    assert es256.from_der(encode_dss_signature(r, s)) == raw
