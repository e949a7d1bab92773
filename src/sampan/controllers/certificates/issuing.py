"""Makes the certificate that a request asks for. Needs `cryptography` only when called."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

BACKDATED = datetime.timedelta(minutes=5)
"""So that a machine whose clock is a little behind takes it at once."""
_KEY_USAGES = frozenset(
    [
        "digital signature",
        "signing",
        "content commitment",
        "key encipherment",
        "data encipherment",
        "key agreement",
    ]
)
LONGEST_S = 365 * 24 * 3600


def issue(
    request_pem: bytes,
    usages: Collection[str],
    expiration_s: int | None,
    ca: Path,
    ca_key: Path,
    now: datetime.datetime,
) -> bytes:
    """The certificate as PEM: subject, names and key of the request, for the usages given.

    It lasts as long as asked for, at most a year, and never longer than the CA's own.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    request = x509.load_pem_x509_csr(request_pem)
    authority = x509.load_pem_x509_certificate(ca.read_bytes())
    key = serialization.load_pem_private_key(ca_key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    ends = now + datetime.timedelta(seconds=min(expiration_s or LONGEST_S, LONGEST_S))
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(authority.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(min(ends, authority.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    if _KEY_USAGES.intersection(usages):  # one without any is no valid certificate
        builder = builder.add_extension(_key_usage(usages), critical=True)
    if purposes := _purposes(usages):
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        names = None
    if names is not None:
        builder = builder.add_extension(names.value, critical=names.critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def ends_at(pem: bytes) -> float:
    """When the first certificate ends, in seconds since the epoch."""
    from cryptography import x509

    return x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()


def _key_usage(usages: Collection[str]) -> x509.KeyUsage:
    from cryptography import x509

    agreement = "key agreement" in usages
    return x509.KeyUsage(
        digital_signature="digital signature" in usages or "signing" in usages,
        content_commitment="content commitment" in usages,
        key_encipherment="key encipherment" in usages,
        data_encipherment="data encipherment" in usages,
        key_agreement=agreement,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=agreement and "encipher only" in usages,
        decipher_only=agreement and "decipher only" in usages,
    )


def _purposes(usages: Collection[str]) -> list[x509.ObjectIdentifier]:
    from cryptography.x509.oid import ExtendedKeyUsageOID

    known = {"client auth": ExtendedKeyUsageOID.CLIENT_AUTH, "server auth": ExtendedKeyUsageOID.SERVER_AUTH}
    return [oid for usage, oid in known.items() if usage in usages]
