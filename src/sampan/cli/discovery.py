"""What a machine that joins finds out about a cluster of which it knows a URL and a token.

cluster-info may be read by anybody over a connection that proves nothing; it is believed if the CA in it has
the hash that was given, or if it is signed with the token. From then on the CA is pinned.
Source: kubeadm-join ("Token-based discovery with CA pinning"), reference/access-authn-authz/bootstrap-tokens.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import ssl

from sampan.api import jws
from sampan.api.objects import Obj
from sampan.api.resources import CONFIG_MAPS
from sampan.cli import der
from sampan.client.client import Client
from sampan.client.https import HttpsTransport

PUBLIC, NAME, FIELD = "kube-public", "cluster-info", "kubeconfig"
HASH_FORM = r"sha256:[0-9a-f]{64}"
_CA = re.compile(r"^\s*certificate-authority-data:\s*(\S+)\s*$", re.MULTILINE)


class Untrusted(Exception):
    """What was found is not what the caller knows of the cluster; the text says why."""


async def cluster_ca(server: str, token: str, ca_hash: str) -> bytes:
    """The cluster's CA as PEM; raises Untrusted, StatusError, Unreachable."""
    client = Client(HttpsTransport(server, verify=False))
    try:
        info = await client.get(CONFIG_MAPS, NAME, PUBLIC)
    finally:
        await client.close()
    return believed(info, token, ca_hash)


def believed(info: Obj, token: str, ca_hash: str) -> bytes:
    """The CA of a cluster-info ConfigMap; raises Untrusted."""
    data = info.get("data") or {}
    content = data.get(FIELD, "")
    found = _CA.search(content)
    if found is None:
        raise Untrusted("cluster-info holds no CA certificate")
    try:
        pem = base64.b64decode(found[1])
        actual = hash_of(pem)
    except (binascii.Error, ValueError) as error:
        raise Untrusted(f"the CA certificate in cluster-info cannot be read: {error}") from error
    if ca_hash:
        if actual != ca_hash:
            raise Untrusted(f"the server's CA has the hash {actual}, not {ca_hash}")
        return pem
    token_id, _, secret = token.partition(".")
    signature = data.get(f"jws-kubeconfig-{token_id}", "")
    if not jws.verified(signature, content, token_id, secret):
        raise Untrusted(f"cluster-info is not signed with the token {token_id}.*")
    return pem


def hash_of(ca_pem: bytes) -> str:
    """`sha256:HEX` of the CA's public key (SubjectPublicKeyInfo), as kubeadm has it. Raises ValueError."""
    key = der.public_key(ssl.PEM_cert_to_DER_cert(ca_pem.decode()))
    return f"sha256:{hashlib.sha256(key).hexdigest()}"
