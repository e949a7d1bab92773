import datetime
import ssl

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from harness import certificates
from sampan.apiserver import pki
from sampan.controllers.certificates import issuing

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def test_the_certificate_says_what_was_asked_and_for_how_long(tmp_path) -> None:
    keys = pki.load_or_create(tmp_path / "pki")
    body = certificates.pem("system:node:n1", ["system:nodes"], ["n1"], ["10.0.0.1"])
    usages = ["server auth", "digital signature"]
    pem = issuing.issue(body, usages, 600, keys.ca, keys.key("ca"), NOW)
    made = x509.load_pem_x509_certificate(pem)
    made.verify_directly_issued_by(x509.load_pem_x509_certificate(keys.ca.read_bytes()))
    assert made.subject == x509.load_pem_x509_csr(body).subject
    purposes = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n1"]
    assert issuing.ends_at(pem) == NOW.timestamp() + 600
    assert made.not_valid_before_utc < NOW


def test_a_year_at_most(tmp_path) -> None:
    keys = pki.load_or_create(tmp_path / "pki")
    for asked in (None, 10**9):
        pem = issuing.issue(certificates.pem("a"), ["client auth"], asked, keys.ca, keys.key("ca"), NOW)
        assert issuing.ends_at(pem) == NOW.timestamp() + 365 * 86400


def test_a_certificate_for_clients_alone_can_be_used(tmp_path) -> None:
    """One with key usages but none of them set is refused by OpenSSL."""
    keys = pki.load_or_create(tmp_path / "pki")
    pem = issuing.issue(certificates.pem("a"), ["client auth"], None, keys.ca, keys.key("ca"), NOW)
    whole = tmp_path / "a.pem"
    whole.write_bytes(pem + certificates.KEY_PEM)
    ssl.create_default_context().load_cert_chain(whole)
