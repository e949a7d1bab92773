"""A node's certificates: asked for by CSR, kept below its directory (0600), renewed in good time.

Each pair is one file `NAME.pem`, certificate first and key behind, so that both are always of one making. One
task per pair renews it when 70 to 90 % of its life are over, chosen anew each time so that nodes that joined
together do not come back together. Source: reference/access-authn-authz/kubelet-tls-bootstrapping,
"Certificate rotation".
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import os
import random
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sampan.api import names
from sampan.api.errors import StatusError
from sampan.api.objects import Obj, name_of
from sampan.api.resources import CERTIFICATE_REQUESTS
from sampan.cli import der, keymaking
from sampan.client.client import Client, ended
from sampan.client.errors import Unreachable

CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING_SIGNER = "kubernetes.io/kubelet-serving"
NODES_GROUP = "system:nodes"
USER_PREFIX = "system:node:"
RENEW_AFTER = (0.7, 0.9)
RETRY_S = 10.0
LONGEST_SLEEP_S = 3600.0
"""Clocks are set, and machines sleep: the time is looked at again at least so often."""

log = logging.getLogger(__name__)


class Refused(Exception):
    """The cluster does not give the certificate; the text says why."""


@dataclass(frozen=True)
class Pair:
    """A certificate with its key, in one file."""

    path: Path

    @property
    def present(self) -> bool:
        return self.path.exists()

    def span(self) -> tuple[float, float]:
        """From when until when it is good, in seconds since the epoch."""
        text = self.path.read_text()
        head, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
        return der.validity(ssl.PEM_cert_to_DER_cert(text[text.index(head) : text.index(end) + len(end)]))

    def good(self, now_s: float) -> bool:
        return self.present and self.span()[1] > now_s

    def keep(self, certificate: bytes, key: bytes) -> None:
        """All or nothing, never readable by others."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate.rstrip(b"\n") + b"\n" + key)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)


def due_at(begins_s: float, ends_s: float, part: float) -> float:
    """When to renew: after `part` of its life."""
    return begins_s + (ends_s - begins_s) * part


async def obtain(client: Client, pair: Pair, node: str, alternatives: Sequence[str] = ()) -> None:
    """Asks for a certificate and waits for it; `alternatives` make it a serving one. Raises Refused."""
    key, request = await keymaking.make(USER_PREFIX + node, NODES_GROUP, alternatives)
    purpose = "server auth" if alternatives else "client auth"
    body: Obj = {
        "metadata": {"name": _name(node, request, serving=bool(alternatives))},
        "spec": {
            "request": base64.b64encode(request).decode(),
            "signerName": SERVING_SIGNER if alternatives else CLIENT_SIGNER,
            "usages": ["digital signature", purpose],
        },
    }
    created = await client.create(CERTIFICATE_REQUESTS, body)
    pair.keep(await _answer(client, name_of(created)), key)


async def renew(
    client: Callable[[], Client],
    pair: Pair,
    node: str,
    alternatives: Sequence[str],
    renewed: Callable[[], None],
    now: Callable[[], float] = time.time,
) -> None:
    """Keeps a pair good until cancelled; `renewed` is called when there is a new one."""
    part = random.uniform(*RENEW_AFTER)
    while True:
        left_s = due_at(*pair.span(), part) - now()
        if left_s > 0:
            await asyncio.sleep(min(left_s, LONGEST_SLEEP_S))
            continue
        try:
            await obtain(client(), pair, node, alternatives)
        except (StatusError, Unreachable, Refused, keymaking.KeyMakingFailed) as error:
            log.warning("certificate %s is not renewed yet: %s", pair.path.stem, error)
            await asyncio.sleep(RETRY_S)
            continue
        log.info("certificate %s renewed", pair.path.stem)
        part = random.uniform(*RENEW_AFTER)
        renewed()
        await asyncio.sleep(RETRY_S)  # should its life be over as soon as it began, as that of its CA may be


async def _answer(client: Client, name: str) -> bytes:
    """The certificate, once the cluster has decided."""
    while True:
        stream = client.watch(CERTIFICATE_REQUESTS, field_selector=f"metadata.name={name}")
        async with ended(stream):
            async for event in stream:
                if event.type == "DELETED":
                    raise Refused(f"certificate request {name} was deleted")
                if event.type in ("ADDED", "MODIFIED") and (found := decided(event.object)):
                    return found


def decided(obj: Obj) -> bytes:
    """The certificate as PEM, b"" as long as nothing is decided; raises Refused."""
    status = obj.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition["type"] in ("Denied", "Failed"):
            why = condition.get("message") or condition.get("reason") or "no reason given"
            raise Refused(f"certificate request {name_of(obj)} {condition['type'].lower()}: {why}")
    return base64.b64decode(status.get("certificate") or "")


def _name(node: str, request: bytes, *, serving: bool) -> str:
    digest = hashlib.sha256(request).hexdigest()[:10]
    kind = "node-serving" if serving else "node-csr"
    return f"{kind}-{node[:200]}-{digest}-{names.random_suffix()}"
