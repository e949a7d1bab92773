"""Makes a key and a certificate request, as a program of its own: `keymaking CN O [NAME...]`.

The library that does it would stay in an agent's memory (20 MB), which needs it once a year. Prints the key
and the request as PEM, one after the other; NAMEs are addresses and DNS names.
"""

from __future__ import annotations

import asyncio
import ipaddress
import sys
from collections.abc import Sequence

_END = b"-----END PRIVATE KEY-----\n"


class KeyMakingFailed(Exception):
    """The program ended badly; the text is what it said."""


async def make(common_name: str, organization: str, names: Sequence[str] = ()) -> tuple[bytes, bytes]:
    """(key, certificate request) as PEM."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sampan.cli.keymaking", common_name, organization, *names),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, complaint = await process.communicate()
    key, end, request = output.partition(_END)
    if process.returncode or not end:
        raise KeyMakingFailed(complaint.decode(errors="replace").strip())
    return key + end, request


def main(arguments: Sequence[str]) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    common_name, organization, *names = arguments
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        listed: list[x509.GeneralName] = []
        for name in names:
            try:
                listed.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                listed.append(x509.DNSName(name))
        builder = builder.add_extension(x509.SubjectAlternativeName(listed), critical=False)
    form = serialization.PrivateFormat.PKCS8
    sys.stdout.buffer.write(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )


if __name__ == "__main__":
    main(sys.argv[1:])
