"""Approves what needs nobody's consent, signs what is approved, and clears away what is over.

One queue of requests, each looked at when it changes and when its time is over. `cryptography` works on a
thread; nothing of it is loaded before the first request.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import logging
import time
from collections.abc import Callable
from pathlib import Path

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, mutable, name_of, uid_of
from sampan.api.resources import CERTIFICATE_REQUESTS, NODES
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.controllers.certificates import issuing, request, rules
from sampan.controllers.certificates.cleaning import over_at

log = logging.getLogger(__name__)


class CertificatesController:
    """`ca` and `ca_key` are PEM files: who signs."""

    def __init__(
        self,
        client: Client,
        informers: Informers,
        events: EventRecorder,
        ca: Path,
        ca_key: Path,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._ca, self._ca_key, self._now = client, ca, ca_key, now
        self._requests = informers.informer(CERTIFICATE_REQUESTS)
        self._nodes = informers.informer(NODES)
        self._controller = Controller("certificates", self.reconcile)

    async def run(self) -> None:
        await self._requests.wait_synced()
        await self._nodes.wait_synced()
        self._controller.follow(self._requests)
        # A node whose addresses have become known may be waiting for its serving certificate.
        self._nodes.subscribe(self._node_changed)
        await self._controller.run()

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None or addresses(new) == addresses(old or {}):
            return
        for obj in self._requests.list():
            if obj["spec"].get("username") == f"{rules.NODE_PREFIX}{name_of(new)}":
                self._controller.enqueue(name_of(obj))

    async def reconcile(self, name: str) -> float | None:
        obj = self._requests.get(name)
        if obj is None:
            return None
        kinds = request.conditions(obj)
        if "Approved" in kinds and not kinds & {"Denied", "Failed"} and not request.certificate(obj):
            await self._sign(obj)
            return None
        if not kinds and obj["spec"]["signerName"] in rules.REFUSALS and await self._approve(obj):
            return None
        return await self._clear(obj)

    async def _approve(self, obj: Obj) -> bool:
        wanted = await asyncio.to_thread(request.read, obj)
        node = self._nodes.get(rules.node_name(wanted))
        message = rules.approval(wanted, addresses(node or {}))
        if not message:
            return False
        changed = mutable(obj)
        changed.setdefault("status", {})["conditions"] = [
            {"type": "Approved", "status": "True", "reason": "AutoApproved", "message": message}
        ]
        await self._client.update(CERTIFICATE_REQUESTS, changed, subresource="approval")
        return True

    async def _sign(self, obj: Obj) -> None:
        refuse = rules.REFUSALS.get(obj["spec"]["signerName"])
        if refuse is None:
            return  # another signer's
        wanted = await asyncio.to_thread(request.read, obj)
        changed = mutable(obj)
        if why := refuse(wanted):
            failed = {"type": "Failed", "status": "True", "reason": "SignerValidationFailed", "message": why}
            changed["status"]["conditions"].append(failed)
        else:
            pem = await asyncio.to_thread(
                issuing.issue,
                request.pem_of(obj),
                wanted.usages,
                obj["spec"].get("expirationSeconds"),
                self._ca,
                self._ca_key,
                datetime.datetime.fromtimestamp(self._now(), datetime.UTC),
            )
            changed["status"]["certificate"] = base64.b64encode(pem).decode()
        await self._client.update_status(CERTIFICATE_REQUESTS, changed)

    async def _clear(self, obj: Obj) -> float | None:
        pem = base64.b64decode(request.certificate(obj))
        ends_s = await asyncio.to_thread(issuing.ends_at, pem) if pem else None
        left_s = over_at(obj, ends_s) - self._now()
        if left_s > 0:
            return left_s
        log.info("certificate request %s is over: deleting it", name_of(obj))
        try:
            await self._client.delete(CERTIFICATE_REQUESTS, name_of(obj), uid=uid_of(obj))
        except StatusError as error:
            if error.code not in (404, 409):
                raise
        return None


def addresses(node: Obj) -> set[str]:
    """What a node has told of itself."""
    return {each["address"] for each in (node.get("status") or {}).get("addresses") or ()}
