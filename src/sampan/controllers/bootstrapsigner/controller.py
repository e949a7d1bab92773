"""Keeps kube-public/cluster-info: where the cluster is and whose certificates to trust there.

It is signed with each bootstrap token that is meant for signing, so a machine that knows one can tell the
cluster's own word from anybody else's before it trusts the CA. Source: reference/access-authn-authz/
bootstrap-tokens, "ConfigMap Signing".
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable

from sampan.api import jws
from sampan.api.bootstraptoken import NAMESPACE, TYPE, entries, expires_at
from sampan.api.errors import StatusError
from sampan.api.objects import Obj, mutable
from sampan.api.resources import CONFIG_MAPS, SECRETS
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers

PUBLIC, NAME = "kube-public", "cluster-info"
KUBECONFIG = "kubeconfig"
SIGNATURE_PREFIX = "jws-kubeconfig-"


class BootstrapSigner:
    """`server` is the API's URL, as machines that join should know it; `ca_pem` its CA."""

    def __init__(
        self,
        client: Client,
        informers: Informers,
        events: EventRecorder,
        server: str,
        ca_pem: str,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._now = client, now
        self._content = kubeconfig(server, ca_pem)
        self._secrets = informers.informer(SECRETS, NAMESPACE, field_selector=f"type={TYPE}")
        self._maps = informers.informer(CONFIG_MAPS, PUBLIC, field_selector=f"metadata.name={NAME}")
        self._controller = Controller("bootstrapsigner", self.reconcile, workers=1)

    async def run(self) -> None:
        await self._secrets.wait_synced()
        await self._maps.wait_synced()
        self._controller.follow(self._secrets, _always)
        self._controller.follow(self._maps, _always)
        self._controller.enqueue(NAME)
        await self._controller.run()

    async def reconcile(self, key: str) -> float | None:
        present = self._maps.get(f"{PUBLIC}/{NAME}")
        data = {KUBECONFIG: self._content} | signatures(self._content, self._secrets.list(), self._now())
        if present is None:
            fresh = {"metadata": {"name": NAME, "namespace": PUBLIC}, "data": data}
            try:
                await self._client.create(CONFIG_MAPS, fresh)
            except StatusError as error:
                if error.reason != "AlreadyExists":
                    raise
        elif present.get("data") != data:
            changed = mutable(present)
            changed["data"] = data
            await self._client.update(CONFIG_MAPS, changed)
        return None


def signatures(content: str, secrets: Iterable[Obj], now_s: float) -> dict[str, str]:
    """`jws-kubeconfig-ID` -> signature, for every token that signs and has not expired."""
    found = {}
    for secret in secrets:
        data = entries(secret)
        expires_s = expires_at(data)
        signs = data.get("usage-bootstrap-signing") == "true"
        if signs and (expires_s is None or expires_s > now_s) and data.get("token-id"):
            made = jws.sign(content, data["token-id"], data.get("token-secret", ""))
            found[SIGNATURE_PREFIX + data["token-id"]] = made
    return found


def kubeconfig(server: str, ca_pem: str) -> str:
    """A kubeconfig (YAML) without a user; always the same bytes, for they are signed."""
    encoded = base64.b64encode(ca_pem.encode()).decode()
    lines = (
        "apiVersion: v1",
        "clusters:",
        "- cluster:",
        f"    certificate-authority-data: {encoded}",
        f"    server: {server}",
        '  name: ""',
        "contexts: null",
        'current-context: ""',
        "kind: Config",
        "users: null",
        "",
    )
    return "\n".join(lines)


def _always(obj: Obj) -> Iterable[str]:
    return (NAME,)
