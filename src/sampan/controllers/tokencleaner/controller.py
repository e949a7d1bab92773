"""Deletes bootstrap tokens whose time is over, at that time.

Source: reference/access-authn-authz/bootstrap-tokens, "tokencleaner".
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sampan.api.bootstraptoken import NAMESPACE, TYPE, entries, expires_at
from sampan.api.errors import StatusError
from sampan.api.objects import name_of, namespace_of, uid_of
from sampan.api.resources import SECRETS
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers


class TokenCleaner:
    def __init__(
        self,
        client: Client,
        informers: Informers,
        events: EventRecorder,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._now = client, now
        self._secrets = informers.informer(SECRETS, NAMESPACE, field_selector=f"type={TYPE}")
        self._controller = Controller("tokencleaner", self.reconcile, workers=1)
        self._controller.follow(self._secrets)

    async def run(self) -> None:
        await self._controller.run()

    async def reconcile(self, key: str) -> float | None:
        secret = self._secrets.get(key)
        expires_s = expires_at(entries(secret)) if secret is not None else None
        if secret is None or expires_s is None:
            return None
        if (left_s := expires_s - self._now()) > 0:
            return left_s
        try:
            await self._client.delete(
                SECRETS, name_of(secret), namespace=namespace_of(secret), uid=uid_of(secret)
            )
        except StatusError as error:
            if error.code not in (404, 409):
                raise
        return None
