"""Events that the API server itself has to tell: few, and about objects that only it looks after.

The same thing said again raises the count of the Event that is there.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import OrderedDict

from sampan.api import clock, names
from sampan.api.errors import StatusError
from sampan.api.objects import Obj, object_reference
from sampan.api.request import MERGE_PATCH, Request, Transport
from sampan.api.resources import EVENTS

REMEMBERED_MOST = 256

log = logging.getLogger(__name__)


class Notices:
    """Warnings in the name of `component`."""

    def __init__(self, transport: Transport, component: str) -> None:
        self._transport = transport
        self._component = component
        self._written: OrderedDict[tuple[str, str, str], tuple[str, int]] = OrderedDict()

    async def warn(self, obj: Obj, reason: str, message: str) -> None:
        """Says it; what cannot be written is not worth failing for, and stands in the log."""
        log.warning("%s: %s", reason, message)
        said = (obj["metadata"].get("uid", ""), reason, message)
        try:
            if said in self._written and await self._again(obj, said):
                return
            await self._anew(obj, said)
        except StatusError as error:
            log.warning("no Event of %s: %s", reason, error.message)

    async def _anew(self, obj: Obj, said: tuple[str, str, str]) -> None:
        subject, now = object_reference(obj), clock.now()
        namespace = subject.get("namespace", "default")
        name = obj["metadata"]["name"]
        if names.dns_subdomain(name):  # an IPv6 address is no name for an Event
            name = secrets.token_hex(8)
        body: Obj = {
            "metadata": {"name": f"{name}.{time.time_ns():x}", "namespace": namespace},
            "involvedObject": subject,
            "type": "Warning",
            "reason": said[1],
            "message": said[2],
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": "",
        }
        await self._transport.call(Request("create", EVENTS, namespace, body=body))
        self._written[said] = (body["metadata"]["name"], 1)
        if len(self._written) > REMEMBERED_MOST:
            self._written.popitem(last=False)

    async def _again(self, obj: Obj, said: tuple[str, str, str]) -> bool:
        """False when the Event has expired."""
        name, count = self._written[said]
        namespace = obj["metadata"].get("namespace", "default")
        patch = {"count": count + 1, "lastTimestamp": clock.now()}
        request = Request("patch", EVENTS, namespace, name, body=patch, content_type=MERGE_PATCH)
        try:
            await self._transport.call(request)
        except StatusError as error:
            if error.code != 404:
                raise
            del self._written[said]
            return False
        self._written[said] = (name, count + 1)
        return True
