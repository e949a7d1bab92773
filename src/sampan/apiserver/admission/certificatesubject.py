"""CertificateSubjectRestriction: nobody gets a certificate that makes him a master of the cluster.

Source: reference/access-authn-authz/admission-controllers, "CertificateSubjectRestriction".
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from sampan.api.objects import Obj
from sampan.apiserver.admission.plugin import CREATE, Plugin, denied
from sampan.apiserver.authz import MASTERS
from sampan.apiserver.registry.hooks import Call

if TYPE_CHECKING:
    from cryptography import x509

SIGNER = "kubernetes.io/kube-apiserver-client"


class CertificateSubjectRestriction(Plugin):
    operations = frozenset({CREATE})

    async def validate(self, call: Call, new: Obj, old: Obj | None) -> None:
        spec = new["spec"]
        if spec.get("signerName") != SIGNER or MASTERS not in organizations(spec["request"]):
            return
        raise denied(call, new, f"use of {SIGNER} signer with {MASTERS} group is not allowed")


def organizations(encoded: str) -> list[str]:
    """Those that a request (PEM in base64) names."""
    from cryptography.x509.oid import NameOID

    return _named(encoded, NameOID.ORGANIZATION_NAME)


def common_name(encoded: str) -> str:
    from cryptography.x509.oid import NameOID

    return next(iter(_named(encoded, NameOID.COMMON_NAME)), "")


def _named(encoded: str, oid: x509.ObjectIdentifier) -> list[str]:
    from cryptography import x509

    subject = x509.load_pem_x509_csr(base64.b64decode(encoded)).subject
    return [str(each.value) for each in subject.get_attributes_for_oid(oid)]
