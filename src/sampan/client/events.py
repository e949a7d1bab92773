"""Events: what a component tells the user about an object; shown by `kubectl describe` and `get events`.

`event` never waits: it notes what is to be said; one task writes, and lives only while there is something to
write. The same thing said again raises `count` of the Event that is there.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sampan.api.clock import format_time
from sampan.api.errors import StatusError
from sampan.api.objects import Obj, name_of, object_reference
from sampan.api.resources import EVENTS
from sampan.client.backoff import Backoff
from sampan.client.client import Client

NORMAL: Literal["Normal"] = "Normal"
WARNING: Literal["Warning"] = "Warning"

PENDING_MOST = 1000
"""Different events that wait to be written; more are dropped, for events must not eat the process."""
REMEMBERED_MOST = 1024
"""Events whose name and count are known, so that a repetition is a PATCH."""
MESSAGE_MOST = 1024
"""Upstream's limit on `message`, in bytes."""
TRIES = 5

log = logging.getLogger(__name__)


class _Said(NamedTuple):
    """What makes two events the same."""

    namespace: str
    subject: tuple[tuple[str, str], ...]
    type: str
    reason: str
    message: str

    def digest(self) -> bytes:
        """As good as all of it, in a tenth of the memory."""
        return hashlib.blake2b(repr(self).encode(), digest_size=16).digest()


@dataclass(slots=True)
class _Written:
    name: str
    count: int


@dataclass(slots=True)
class _Pending:
    subject: Obj
    times: int
    first_s: float
    last_s: float


class EventRecorder:
    """Writes core/v1 Events in the name of `component` (on `host`, where the component is one node's)."""

    def __init__(self, client: Client, component: str, host: str = "") -> None:
        self._client = client
        self._component = component
        self._host = host
        self._pending: OrderedDict[_Said, _Pending] = OrderedDict()
        self._written: OrderedDict[bytes, _Written] = OrderedDict()
        self._writer: asyncio.Task[None] | None = None
        self._dropped = 0

    def event(
        self,
        obj: Obj,
        type: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        *,
        field_path: str = "",
    ) -> None:
        """Notes an event about `obj` (which must have apiVersion and kind) and returns at once.

        `field_path` is the part of it that is meant: `spec.containers{web}`.
        """
        subject = object_reference(obj) | ({"fieldPath": field_path} if field_path else {})
        identity = tuple((key, subject[key]) for key in sorted(subject) if key != "resourceVersion")
        said = _Said(subject.get("namespace", "default"), identity, type, reason, message)
        now_s = time.time()
        waiting = self._pending.get(said)
        if waiting is not None:
            waiting.times += 1
            waiting.last_s = now_s
            return
        if len(self._pending) >= PENDING_MOST:
            self._dropped += 1
            if self._dropped == 1:
                log.warning("%s: too many events at once, dropping some", self._component)
            return
        self._pending[said] = _Pending(subject, 1, now_s, now_s)
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(
                self._write_all(), name=f"events-{self._component}"
            )

    async def flush(self) -> None:
        """Returns once everything said so far is written or dropped."""
        while self._writer is not None:
            await asyncio.wait((self._writer,))

    async def close(self) -> None:
        """Gives up what is not written yet."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait((self._writer,))

    async def _write_all(self) -> None:
        try:
            while self._pending:
                said, pending = self._pending.popitem(last=False)
                await self._write(said, pending)
            self._dropped = 0
        finally:
            self._writer = None

    async def _write(self, said: _Said, pending: _Pending) -> None:
        backoff = Backoff(0.1)
        for _ in range(TRIES):
            try:
                await self._write_once(said, pending)
                return
            except StatusError as error:
                # Most often the namespace is going (403) or gone (404): then nobody can read it anyway.
                log.debug("%s: event %s dropped: %s", self._component, said.reason, error.message)
                return
            except OSError as error:
                log.debug("%s: event %s not written yet: %s", self._component, said.reason, error)
                await asyncio.sleep(backoff.next_s())
        log.warning("%s: event %s dropped: API server unreachable", self._component, said.reason)

    async def _write_once(self, said: _Said, pending: _Pending) -> None:
        digest = said.digest()
        written = self._written.get(digest)
        if written is not None:
            try:
                await self._count_up(said, written, pending)
                return
            except StatusError as error:
                if error.code != 404:
                    raise
                del self._written[digest]  # expired meanwhile: say it anew
        body = self._new(said, pending)
        await self._client.create(EVENTS, body)
        self._written[digest] = _Written(body["metadata"]["name"], pending.times)
        if len(self._written) > REMEMBERED_MOST:
            self._written.popitem(last=False)

    async def _count_up(self, said: _Said, written: _Written, pending: _Pending) -> None:
        count = written.count + pending.times
        patch: Obj = {"count": count, "lastTimestamp": format_time(pending.last_s)}
        await self._client.patch(EVENTS, written.name, patch, namespace=said.namespace)
        written.count = count
        self._written.move_to_end(said.digest())

    def _new(self, said: _Said, pending: _Pending) -> Obj:
        source = {"component": self._component} | ({"host": self._host} if self._host else {})
        name = name_of({"metadata": pending.subject})
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name}.{time.time_ns():x}", "namespace": said.namespace},
            "involvedObject": pending.subject,
            "type": said.type,
            "reason": said.reason,
            "message": said.message.encode()[:MESSAGE_MOST].decode(errors="ignore"),
            "count": pending.times,
            "firstTimestamp": format_time(pending.first_s),
            "lastTimestamp": format_time(pending.last_s),
            "source": source,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }
