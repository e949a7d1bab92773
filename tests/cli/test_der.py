"""Certificates read without the library, held against what the library reads."""

from __future__ import annotations

import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from sampan.apiserver import pki
from sampan.cli import der


@pytest.fixture(scope="module", params=["ca", "apiserver", "admin"])
def pem(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return pki.load_or_create(tmp_path_factory.mktemp("pki")).certificate(request.param).read_bytes()


def test_times_and_key_are_those_that_the_library_reads(pem: bytes) -> None:
    certificate = x509.load_pem_x509_certificate(pem)
    read = ssl.PEM_cert_to_DER_cert(pem.decode())
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    assert der.validity(read) == (begins.timestamp(), ends.timestamp())
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    assert der.public_key(read) == certificate.public_key().public_bytes(serialization.Encoding.DER, form)


@pytest.mark.parametrize("data", [b"", b"\x30\x05abc", b"\x30\x00", b"\x02\x01\x00", b"\x30"])
def test_what_is_no_certificate(data: bytes) -> None:
    with pytest.raises(ValueError, match="not"):
        der.public_key(data)
