"""ES256, the signatures of tokens, by the OpenSSL that the process has anyway: the one its TLS comes from.

The library `cryptography` carries an OpenSSL of its own, which would cost every cluster 11 MB for a signature
per Pod. It signs where the interpreter's OpenSSL cannot be called: where that is built in and hidden.
Source: RFC 7518, 3.4 (the signature is r and s, 32 bytes each); OpenSSL's man pages, EVP_DigestSign(3).
"""

from __future__ import annotations

import ctypes
import functools
import logging
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

log = logging.getLogger(__name__)

COORDINATE_BYTES = 32
_INTEGER, _SEQUENCE = 0x02, 0x30
_DER_MAX_BYTES = 72
"""Two integers of up to 33 bytes, each with tag and length, in a sequence."""
_VALID = 1
_P256_BEGINS = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
"""How every public key of the curve begins; both coordinates follow."""
_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_size_t
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "BIO_new_mem_buf": (_POINTER, (ctypes.c_char_p, ctypes.c_int)),
    "BIO_free": (ctypes.c_int, (_POINTER,)),
    "PEM_read_bio_PrivateKey": (_POINTER, (_POINTER, _POINTER, _POINTER, ctypes.c_char_p)),
    "i2d_PUBKEY": (ctypes.c_int, (_POINTER, ctypes.POINTER(ctypes.c_char_p))),
    "EVP_MD_CTX_new": (_POINTER, ()),
    "EVP_MD_CTX_free": (None, (_POINTER,)),
    "EVP_sha256": (_POINTER, ()),
    "EVP_DigestSignInit": (ctypes.c_int, (_POINTER, _POINTER, _POINTER, _POINTER, _POINTER)),
    "EVP_DigestSign": (
        ctypes.c_int,
        (_POINTER, ctypes.c_char_p, ctypes.POINTER(_SIZE), ctypes.c_char_p, _SIZE),
    ),
    "EVP_DigestVerifyInit": (ctypes.c_int, (_POINTER, _POINTER, _POINTER, _POINTER, _POINTER)),
    "EVP_DigestVerify": (ctypes.c_int, (_POINTER, ctypes.c_char_p, _SIZE, ctypes.c_char_p, _SIZE)),
    "ERR_clear_error": (None, ()),
}
"""What they return and take, of all that is called."""


class Key(Protocol):
    """A P-256 key pair. `public`: the public half as SubjectPublicKeyInfo, which ends in both coordinates."""

    public: bytes

    def sign(self, message: bytes) -> bytes:
        """r and s, 64 bytes."""
        ...

    def is_signed(self, message: bytes, signature: bytes) -> bool: ...


class KeyUnreadable(Exception):
    """The text is no private key of P-256."""


def load(pem: bytes) -> Key:
    """The key of a PEM text without passphrase. Raises KeyUnreadable."""
    openssl = interpreters_openssl()
    return LibraryKey(pem) if openssl is None else OpenSSLKey(openssl, pem)


@functools.cache
def interpreters_openssl() -> ctypes.CDLL | None:
    """What the module `ssl` is linked to; None if its functions cannot be called from here."""
    import _ssl

    file = getattr(_ssl, "__file__", None)  # none where it is part of the interpreter
    try:
        openssl = ctypes.CDLL(file)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(openssl, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        log.info("the interpreter's OpenSSL is out of reach: tokens are signed by the library `cryptography`")
        return None
    return openssl


class OpenSSLKey:
    """Keeps `Key`. A call leaves no error behind: the module `ssl` would take it for one of its own."""

    def __init__(self, openssl: ctypes.CDLL, pem: bytes) -> None:
        self._openssl = openssl
        source = openssl.BIO_new_mem_buf(pem, len(pem))
        self._key = openssl.PEM_read_bio_PrivateKey(source, None, None, b"")
        openssl.BIO_free(source)
        openssl.ERR_clear_error()
        if not self._key:
            raise KeyUnreadable("not a private key in PEM")
        self.public = _of_p256(self._encoded())

    def sign(self, message: bytes) -> bytes:
        openssl = self._openssl
        context = openssl.EVP_MD_CTX_new()
        try:
            signature, size = ctypes.create_string_buffer(_DER_MAX_BYTES), _SIZE(_DER_MAX_BYTES)
            begun = openssl.EVP_DigestSignInit(context, None, openssl.EVP_sha256(), None, self._key)
            room = ctypes.byref(size)
            if begun != 1 or openssl.EVP_DigestSign(context, signature, room, message, len(message)) != 1:
                raise OSError("OpenSSL did not sign")
            return from_der(signature.raw[: size.value])
        finally:
            openssl.EVP_MD_CTX_free(context)
            openssl.ERR_clear_error()

    def is_signed(self, message: bytes, signature: bytes) -> bool:
        if len(signature) != 2 * COORDINATE_BYTES:
            return False
        openssl, der = self._openssl, to_der(signature)
        context = openssl.EVP_MD_CTX_new()
        try:
            begun = openssl.EVP_DigestVerifyInit(context, None, openssl.EVP_sha256(), None, self._key)
            if begun != 1:
                return False
            # Neither 0, which says that it is wrong, nor less, which says that it is no signature at all.
            return bool(openssl.EVP_DigestVerify(context, der, len(der), message, len(message)) == _VALID)
        finally:
            openssl.EVP_MD_CTX_free(context)
            openssl.ERR_clear_error()

    def _encoded(self) -> bytes:
        size = self._openssl.i2d_PUBKEY(self._key, None)
        buffer = ctypes.create_string_buffer(size)
        at = ctypes.cast(buffer, ctypes.c_char_p)
        self._openssl.i2d_PUBKEY(self._key, ctypes.byref(at))
        return buffer.raw


class LibraryKey:
    """Keeps `Key`."""

    def __init__(self, pem: bytes) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            key = serialization.load_pem_private_key(pem, None)
        except ValueError as error:
            raise KeyUnreadable("not a private key in PEM") from error
        self.public = _of_p256(
            key.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key

    def sign(self, message: bytes) -> bytes:
        return from_der(self._key.sign(message, self._algorithm()))

    def is_signed(self, message: bytes, signature: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature

        if len(signature) != 2 * COORDINATE_BYTES:
            return False
        try:
            self._key.public_key().verify(to_der(signature), message, self._algorithm())
        except InvalidSignature:
            return False
        return True

    @staticmethod
    def _algorithm() -> ec.ECDSA:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        return ec.ECDSA(hashes.SHA256())


def _of_p256(public: bytes) -> bytes:
    if not public.startswith(_P256_BEGINS):
        raise KeyUnreadable("a private key, but not one of the curve P-256")
    return public


def to_der(signature: bytes) -> bytes:
    """SEQUENCE { INTEGER r, INTEGER s } of r and s."""
    halves = signature[:COORDINATE_BYTES], signature[COORDINATE_BYTES:]
    integers = b"".join(_integer(half) for half in halves)
    return bytes((_SEQUENCE, len(integers))) + integers


def from_der(der: bytes) -> bytes:
    """r and s out of what OpenSSL has signed."""
    r_end = 4 + der[3]
    r, s = der[4:r_end], der[r_end + 2 :]
    return b"".join(int.from_bytes(each, "big").to_bytes(COORDINATE_BYTES, "big") for each in (r, s))


def _integer(number: bytes) -> bytes:
    """Positive and as short as can be: no zeros before it but the one that keeps it positive."""
    shortest = number.lstrip(b"\0") or b"\0"
    content = b"\0" + shortest if shortest[0] & 0x80 else shortest
    return bytes((_INTEGER, len(content))) + content
