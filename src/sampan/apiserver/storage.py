"""Where objects are: keys of resources, entries out of the watch cache, writes into the store.

A write is answered once the watch cache shows it, so whoever was answered reads what he wrote. Several
writes may be under way at once; each names the revision it was made from, and of two that meet one raises
TxnConflict.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sampan.api import errors
from sampan.api.resources import Resource
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.entry import Entry
from sampan.apiserver.watchcache import Cache, Hub
from sampan.store.contract import Op, Put, Store, StoreError, StoreFull, TxnConflict

log = logging.getLogger(__name__)


class Storage:
    def __init__(self, store: Store, hub: Hub) -> None:
        self._store, self._hub = store, hub

    def cache(self, resource: Resource) -> Cache:
        return self._hub.cache(storage_prefix(resource))

    def find(self, resource: Resource, namespace: str, name: str) -> Entry | None:
        return self.cache(resource).get(key_for(resource, namespace, name))

    async def put(self, resource: Resource, op: Put, companions: Sequence[Op] = ()) -> Entry:
        """Writes `op`, and in the same transaction its `companions`; answers what the cache shows of it."""
        revision = await self.commit(*companions, op)
        shown = self.cache(resource).get(op.key)
        if shown is not None and shown.revision == revision:
            return shown
        assert not isinstance(op.value, bytes)
        return Entry(op.key, op.value.at(revision), revision)

    async def commit(self, *ops: Op) -> int:
        """All of `ops` or none; answers the revision of the last.

        Raises TxnConflict, or StatusError 500 and 503 where the store takes no writes or does not answer.
        """
        try:
            revision = (await self._store.txn(ops))[-1]
        except StoreFull as error:
            log.error("the store takes no writes: %s", error)
            raise errors.internal(
                f"nothing was written, the store takes no writes ({error}); free space on its disk"
            ) from error
        except TxnConflict:
            raise
        except StoreError as error:
            raise errors.unavailable(f"the store does not answer: {error}") from error
        await self._hub.applied(revision)
        return revision

    async def catch_up(self, conflict: TxnConflict) -> None:
        """Waits until the cache has seen what we lost against."""
        current = conflict.current
        await self._hub.applied(current.revision if current is not None else self._store.revision)


def scope_prefix(resource: Resource, namespace: str) -> str:
    """The key prefix of a namespace's objects, or of all."""
    prefix = storage_prefix(resource)
    return f"{prefix}{namespace}/" if resource.namespaced and namespace else prefix


def key_for(resource: Resource, namespace: str, name: str) -> str:
    return scope_prefix(resource, namespace) + name
