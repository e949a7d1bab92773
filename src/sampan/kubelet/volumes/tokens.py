"""Service-account tokens for Pods: asked for once, kept, asked for anew when 80 % of their life is over.

Source: concepts/storage/projected-volumes#serviceaccounttoken; authentication.k8s.io/v1 TokenRequest.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace

from sampan.api.clock import parse_time
from sampan.api.errors import StatusError
from sampan.api.objects import Obj, key_of, name_of, namespace_of, uid_of
from sampan.api.resources import SERVICE_ACCOUNTS
from sampan.client.client import Client

REFRESH_SHARE = 0.8
MOST_AGE_S = 24 * 3600.0
LEAST_AGE_S = 60.0
"""However short-lived: a server with a wrong clock must not be asked without pause."""

log = logging.getLogger(__name__)

Key = tuple[str, int]
"""(audience, lifetime in s)"""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    refresh_s: float
    expires_s: float


class Tokens:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._tokens: dict[str, dict[Key, _Token]] = {}

    async def of(self, pod: Obj, wanted: list[Key]) -> dict[Key, str]:
        """Raises StatusError, OSError when the server gives none and no usable one is at hand."""
        kept = self._tokens.setdefault(uid_of(pod), {})
        due = [key for key in wanted if key not in kept or kept[key].refresh_s <= time.time()]
        fresh = await asyncio.gather(*(self._renewed(pod, key, kept) for key in due))
        kept.update(zip(due, fresh, strict=True))
        return {key: kept[key].text for key in wanted}

    def refresh_due_s(self, uid: str) -> float | None:
        """When the first of a Pod's tokens is to be renewed."""
        return min((token.refresh_s for token in self._tokens.get(uid, {}).values()), default=None)

    def forget(self, uid: str) -> None:
        self._tokens.pop(uid, None)

    async def _renewed(self, pod: Obj, key: Key, kept: dict[Key, _Token]) -> _Token:
        """An old one does until it ends; a server that has none now is asked again in a while."""
        try:
            return await self._request(pod, key)
        except (StatusError, OSError) as error:
            now_s = time.time()
            if key not in kept:
                raise
            kept[key] = replace(kept[key], refresh_s=now_s + LEAST_AGE_S)
            if kept[key].expires_s <= now_s:
                raise
            log.warning("Pod %s keeps its token for now: %s", key_of(pod), error)
            return kept[key]

    async def _request(self, pod: Obj, key: Key) -> _Token:
        audience, lifetime_s = key
        account = pod["spec"].get("serviceAccountName") or "default"
        spec: Obj = {
            "expirationSeconds": lifetime_s,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name_of(pod), "uid": uid_of(pod)},
            "audiences": [audience] if audience else [],
        }
        request: Obj = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"name": account, "namespace": namespace_of(pod)},
            "spec": spec,
        }
        asked_s = time.time()
        answer = await self._client.create(
            SERVICE_ACCOUNTS, request, namespace=namespace_of(pod), subresource="token", name=account
        )
        expires_s = parse_time(answer["status"]["expirationTimestamp"])
        age_s = max(min((expires_s - asked_s) * REFRESH_SHARE, MOST_AGE_S), LEAST_AGE_S)
        return _Token(answer["status"]["token"], asked_s + age_s, expires_s)
