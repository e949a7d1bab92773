"""The cluster's certificates and keys: EC P-256, PEM files in one directory, readable by us alone.

What is missing is made by a program of its own, which reads the server's names: the library that does it
would stay in the server's memory (11 MB), which needs it once. A second start just reads files.
Source of file names and subjects: setup/best-practices/certificates (kubeadm's layout).
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

_TEN_YEARS = datetime.timedelta(days=3650)
_SKEW = datetime.timedelta(minutes=5)
_NAMES = ("ca", "apiserver", "admin")
"""The pairs that every cluster has."""


class PkiFault(Exception):
    """What is missing could not be made; the text is what the program said."""


@dataclass(frozen=True, slots=True)
class Pki:
    """Where everything lies. Certificates are `NAME.crt`, keys `NAME.key`."""

    directory: Path

    @property
    def ca(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def ca_pem(self) -> str:
        return self.ca.read_text()

    @property
    def service_account_key(self) -> Path:
        return self.directory / "sa.key"

    def certificate(self, name: str) -> Path:
        return self.directory / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.directory / f"{name}.key"

    def serves(self, hosts: Sequence[str] = ()) -> bool:
        """Whether nothing is missing to serve by these names and addresses."""
        names = self.directory / "apiserver.names"
        files = [self.service_account_key, *map(self.key, _NAMES), *map(self.certificate, _NAMES)]
        return all(map(Path.exists, [names, *files])) and set(hosts) <= set(names.read_text().split("\n"))

    def server_context(self) -> ssl.SSLContext:
        """TLS for the API: client certificates of our CA are welcome, not required."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate("apiserver"), self.key("apiserver"))
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        return context

    def kubelet_context(self) -> ssl.SSLContext:
        """TLS for asking nodes at their own port: both sides show a certificate of our CA."""
        from sampan.apiserver.authz import KUBELET_CALLER, KUBELET_CALLERS  # which the program can do without

        name = "apiserver-kubelet-client"
        self.client_certificate(name, KUBELET_CALLER, (KUBELET_CALLERS,))
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self.certificate(name), self.key(name))
        context.set_alpn_protocols(["http/1.1"])
        return context

    def client_certificate(self, name: str, common_name: str, organizations: Sequence[str] = ()) -> None:
        """Makes `NAME.crt` and `NAME.key` for a user unless they are there."""
        if self.certificate(name).exists() and self.key(name).exists():
            return
        _issue(self, name, common_name, organizations, hosts=(), server=False)


Maker = subprocess.Popen[bytes]


def begin(directory: Path) -> Maker | None:
    """The program, which gets ready while others find out by what names the server will be reached.

    None if nothing is missing that could be known by now. It ends by itself if nobody tells it names.
    """
    return None if Pki(directory).serves() else _program(directory)


async def provide(directory: Path, hosts: Sequence[str], maker: Maker | None = None) -> Pki:
    """The directory's PKI, made as `load_or_create` makes it. Raises PkiFault."""
    import asyncio  # which the program can do without

    pki = Pki(directory)
    if maker is None and pki.serves(hosts):
        return pki
    program = maker or _program(directory)
    try:
        _, complaint = await asyncio.to_thread(program.communicate, "\n".join(hosts).encode())
    except asyncio.CancelledError:
        program.kill()
        raise
    if program.returncode:
        raise PkiFault(f"the certificates could not be made: {complaint.decode(errors='replace').strip()}")
    return pki


def _program(directory: Path) -> Maker:
    argv = [sys.executable, "-m", __name__, str(directory)]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE)


def load_or_create(directory: Path, hosts: Sequence[str] = ()) -> Pki:
    """The directory's PKI; what is missing is made.

    `hosts` are DNS names and addresses the server certificate must hold; it is made again if one is missing.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    pki = Pki(directory)
    if not (pki.ca.exists() and pki.key("ca").exists()):
        _make_ca(pki)
    names = directory / "apiserver.names"
    wanted = "\n".join(sorted(set(hosts)))
    served = (names, pki.key("apiserver"), pki.certificate("apiserver"))
    held = names.read_text().split("\n") if all(map(Path.exists, served)) else None
    if held is None or not set(hosts) <= set(held):
        _issue(pki, "apiserver", "kube-apiserver", (), hosts=hosts, server=True)
        _write(names, wanted.encode(), 0o600)
    pki.client_certificate("admin", "kubernetes-admin", ("system:masters",))
    if not pki.service_account_key.exists():
        from cryptography.hazmat.primitives.asymmetric import ec

        _write(pki.service_account_key, _key_pem(ec.generate_private_key(ec.SECP256R1())), 0o600)
    return pki


def _make_ca(pki: Pki) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sampan-ca")])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = _builder(name, name, key.public_key())
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_pair(pki, "ca", certificate, key)


def _issue(
    pki: Pki, name: str, common_name: str, organizations: Sequence[str], *, hosts: Sequence[str], server: bool
) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    ca = x509.load_pem_x509_certificate(pki.ca.read_bytes())
    ca_key = serialization.load_pem_private_key(pki.key("ca").read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, text) for text in organizations]
        + [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    )
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(subject, ca.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
    )
    if hosts:
        names = [_general_name(host) for host in sorted(set(hosts))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    _write_pair(pki, name, builder.sign(ca_key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _TEN_YEARS)
    )


def _general_name(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_pair(pki: Pki, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    from cryptography.hazmat.primitives import serialization

    _write(pki.key(name), _key_pem(key), 0o600)
    _write(pki.certificate(name), certificate.public_bytes(serialization.Encoding.PEM), 0o600)


def _write(path: Path, data: bytes, mode: int) -> None:
    """All or nothing, never readable by others, not even for a moment."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def main(directory: Path) -> None:
    from cryptography import x509  # noqa: F401  while the names are being found out

    if hosts := sys.stdin.read().split():
        load_or_create(directory, hosts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
