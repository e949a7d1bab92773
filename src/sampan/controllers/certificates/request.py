"""A certificate request taken apart: whom it names, and what for. Needs `cryptography` only when called."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from sampan.api.objects import Obj


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is written in the request (PKCS #10) and beside it, in the order in which it stands there."""

    common_name: str = ""
    organizations: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    others: int = 0
    """How many names of other kinds: mail addresses, URIs..."""
    usages: frozenset[str] = frozenset()
    signer: str = ""
    username: str = ""
    groups: tuple[str, ...] = ()


def pem_of(obj: Obj) -> bytes:
    return base64.b64decode(obj["spec"]["request"])


def read(obj: Obj) -> Wanted:
    """Raises ValueError for what is no request."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    spec = obj["spec"]
    found = x509.load_pem_x509_csr(pem_of(obj))

    def of(oid: Any) -> tuple[str, ...]:
        return tuple(str(each.value) for each in found.subject.get_attributes_for_oid(oid))

    try:
        names = list(found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = []
    dns_names = tuple(name.value for name in names if isinstance(name, x509.DNSName))
    ips = tuple(str(name.value) for name in names if isinstance(name, x509.IPAddress))
    return Wanted(
        common_name=next(iter(of(NameOID.COMMON_NAME)), ""),
        organizations=of(NameOID.ORGANIZATION_NAME),
        dns_names=dns_names,
        ips=ips,
        others=len(names) - len(dns_names) - len(ips),
        usages=frozenset(spec.get("usages") or ()),
        signer=spec["signerName"],
        username=spec.get("username", ""),
        groups=tuple(spec.get("groups") or ()),
    )


def conditions(obj: Obj) -> set[str]:
    """The types of its conditions."""
    return {each["type"] for each in (obj.get("status") or {}).get("conditions") or ()}


def certificate(obj: Obj) -> str:
    """The certificate in base64, "" before there is one."""
    return str((obj.get("status") or {}).get("certificate") or "")
