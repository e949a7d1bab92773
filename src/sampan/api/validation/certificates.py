"""Rules of CertificateSigningRequests: what may be asked of a signer, and who may say what of it later.

Source: reference/access-authn-authz/certificate-signing-requests.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

from sampan.api import names
from sampan.api.errors import duplicate, forbidden_value, invalid_value, required
from sampan.api.objects import Obj
from sampan.api.validation.check import Errors, dicts, unsupported

APPROVED, DENIED, FAILED = "Approved", "Denied", "Failed"
SETTLED = (APPROVED, DENIED, FAILED)
"""Conditions that nobody takes back."""
LEGACY = "kubernetes.io/legacy-unknown"
MIN_EXPIRATION_S = 600
USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)


def request(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    if problem := _unreadable(spec.get("request") or ""):
        yield invalid_value("spec.request", spec.get("request"), problem)
    yield from _usages(spec.get("usages") or ())
    yield from _signer_name(spec.get("signerName") or "")
    lifetime = spec.get("expirationSeconds")
    if lifetime is not None and lifetime < MIN_EXPIRATION_S:
        sentence = "may not specify a duration less than 600 seconds (10 minutes)"
        yield invalid_value("spec.expirationSeconds", lifetime, sentence)
    yield from _conditions((obj.get("status") or {}).get("conditions") or ())


def request_update(new: Obj, old: Obj) -> Errors:
    """Spec and status are the old ones by then."""
    return iter(())


def approval_update(new: Obj, old: Obj) -> Errors:
    """Through `approval`: may add what was decided."""
    return _change(new, old, may_add=SETTLED, may_certify=False)


def status_update(new: Obj, old: Obj) -> Errors:
    """Through `status`: the signer's, who may fail or answer, and does not approve."""
    return _change(new, old, may_add=(FAILED,), may_certify=True)


def _change(new: Obj, old: Obj, *, may_add: Sequence[str], may_certify: bool) -> Errors:
    now, was = new.get("status") or {}, old.get("status") or {}
    yield from _conditions(now.get("conditions") or ())
    for kind in SETTLED:
        fresh, kept = _of_type(now, kind), _of_type(was, kind)
        if len(fresh) < len(kept):
            sentence = f'updates may not remove a condition of type "{kind}"'
        elif len(fresh) > len(kept) and kind not in may_add:
            sentence = f'updates may not add a condition of type "{kind}"'
        elif kept and fresh != kept and kind not in may_add:
            sentence = f'updates may not modify a condition of type "{kind}"'
        else:
            continue
        yield forbidden_value("status.conditions", sentence)
    fresh_pem, kept_pem = now.get("certificate") or "", was.get("certificate") or ""
    if fresh_pem != kept_pem:
        if not may_certify:
            yield forbidden_value("status.certificate", "updates may not set certificate content")
        elif kept_pem:
            yield forbidden_value("status.certificate", "updates may not modify existing certificate content")
        elif problem := _no_certificate(fresh_pem):
            yield invalid_value("status.certificate", fresh_pem, problem)


def _usages(usages: Sequence[str]) -> Errors:
    if not usages:
        yield required("spec.usages", "usages must be provided")
    for index, usage in enumerate(usages):
        if usage not in USAGES:
            yield unsupported(f"spec.usages[{index}]", usage, USAGES)
        elif usage in usages[:index]:
            yield duplicate(f"spec.usages[{index}]", usage)


def _signer_name(name: str) -> Errors:
    if not name:
        yield required("spec.signerName")
        return
    if name == LEGACY:
        yield invalid_value(
            "spec.signerName", name, "the legacy signerName is not allowed via this API version"
        )
        return
    domain, slash, path = name.partition("/")
    if not slash or not path or "." not in domain:
        sentence = 'must be a fully qualified domain and path of the form "example.com/signer-name"'
        yield invalid_value("spec.signerName", name, sentence)
        return
    for sentence in names.dns_subdomain(domain):
        yield invalid_value("spec.signerName", name, sentence)
    for segment in path.split("/"):
        for sentence in names.dns_subdomain(segment):
            yield invalid_value("spec.signerName", name, sentence)


def _conditions(conditions: Sequence[Obj]) -> Errors:
    seen: set[str] = set()
    for index, condition in dicts({"conditions": conditions}, "conditions"):
        at, kind, status = f"status.conditions[{index}]", condition.get("type"), condition.get("status")
        if not kind:
            yield required(f"{at}.type")
        elif kind in seen:
            yield duplicate(f"{at}.type", kind)
        elif {kind, *seen} >= {APPROVED, DENIED}:
            yield invalid_value(f"{at}.type", kind, "Approved and Denied conditions are mutually exclusive")
        seen.add(kind or "")
        allowed = ("True",) if kind in SETTLED else ("True", "False", "Unknown")
        if not status:
            yield required(f"{at}.status")
        elif status not in allowed:
            yield unsupported(f"{at}.status", status, allowed)


def _of_type(status: Obj, kind: str) -> list[Obj]:
    return [each for each in status.get("conditions") or () if each.get("type") == kind]


def _unreadable(encoded: str) -> str:
    """Why it is no certificate request; "" if it is one."""
    from cryptography import x509

    try:
        pem = base64.b64decode(encoded)
    except ValueError:
        return "PEM block type must be CERTIFICATE REQUEST"
    if not re.match(rb"\s*-----BEGIN (NEW )?CERTIFICATE REQUEST-----", pem):
        return "PEM block type must be CERTIFICATE REQUEST"
    try:
        found = x509.load_pem_x509_csr(pem)
        if not found.is_signature_valid:
            return "the signature of the request is not valid"
    except ValueError as error:
        return str(error)
    return ""


def _no_certificate(encoded: str) -> str:
    from cryptography import x509

    try:
        x509.load_pem_x509_certificates(base64.b64decode(encoded))
    except ValueError as error:
        return f"must be one or more PEM blocks of type CERTIFICATE: {error}"
    return ""
