"""Who is at the other end of a TLS connection, by the certificate that was shown."""

from __future__ import annotations

import hashlib
import ssl

from sampan.api.request import UserInfo
from sampan.apiserver.authz import ANONYMOUS, AUTHENTICATED
from sampan.apiserver.exchange import Link


def from_certificate(connection: Link) -> UserInfo:
    """Whom the peer's certificate names; ANONYMOUS if it has shown none."""
    tls: ssl.SSLObject | None = connection.transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert() if tls is not None else None
    if tls is None or not certificate:
        return ANONYMOUS
    names: dict[str, list[str]] = {}
    subject: tuple[tuple[tuple[str, str], ...], ...] = certificate["subject"]  # type: ignore[assignment]
    for part in subject:
        for field, value in part:
            names.setdefault(field, []).append(value)
    common_name = names.get("commonName", [""])[-1]
    if not common_name:
        return ANONYMOUS
    groups = (*names.get("organizationName", ()), AUTHENTICATED)
    fingerprint = hashlib.sha256(tls.getpeercert(binary_form=True) or b"").hexdigest()
    extra = {"authentication.kubernetes.io/credential-id": (f"X509SHA256={fingerprint}",)}
    return UserInfo(common_name, groups, "", extra)
