"""ResourceQuota: what a namespace may have in all.

The use is counted here, as the caches change, and what is on its way to the store is held as a claim until
its event comes: the check and the claim are one step of the event loop, so many creations at once never get
more than one after the other would. `status.used` is a controller's to show and is not looked at.
Source: concepts/policy/resource-quotas.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sampan.api import quota as quotas
from sampan.api import resources
from sampan.api.objects import Obj, name_of, namespace_of
from sampan.api.quantity import Quantity
from sampan.api.quota import CLAIMS, Tally
from sampan.api.resources import PODS, SERVICES, Resource
from sampan.apiserver.admission.plugin import CREATE, UPDATE, Plugin, denied
from sampan.apiserver.conversion import storage_prefix, storage_resource
from sampan.apiserver.registry.hooks import Call, Undo
from sampan.apiserver.watchcache import Change, Hub

RESOURCE_QUOTAS = resources.resource("", "v1", "resourcequotas")
_MAY_GROW = frozenset((SERVICES, CLAIMS))
"""Kinds whose updates may take more than their creation did; of Pods only a resize does."""


@dataclass(slots=True)
class _Account:
    """One quota: what is there, and what is on its way. Claims are kept by the key of their object."""

    tally: Tally
    claims: dict[str, list[dict[str, Quantity]]] = field(default_factory=dict)

    def used(self, name: str) -> Quantity:
        claimed = (each[name] for held in self.claims.values() for each in held if name in each)
        total = self.tally.used[name]
        for amount in claimed:
            total += amount
        return total


class ResourceQuota(Plugin):
    operations = frozenset({CREATE, UPDATE})
    subresources = frozenset({"", "resize"})

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._accounts: dict[str, dict[str, _Account]] = {}
        """By namespace and name."""
        self._followed: dict[str, Resource] = {}
        """The resources whose changes are counted, by the prefix of their keys."""
        self._open = False

    def concerns(self, call: Call, old: Obj | None) -> bool:
        if not call.request.namespace or not super().concerns(call, old):
            return False
        grows = call.resource in _MAY_GROW or call.request.subresource == "resize"
        return old is None or grows

    async def validate(self, call: Call, new: Obj, old: Obj | None) -> None:
        """What is refused whatever else is there."""
        if call.resource is not PODS or old is not None:
            return
        for name, account in self._of(call.request.namespace).items():
            if missing := account.tally.lacking(new):
                raise denied(call, new, f"failed quota: {name}: must specify {missing}")

    def reserve(self, call: Call, new: Obj, old: Obj | None) -> Undo | None:
        accounts = self._of(call.request.namespace)
        if not accounts:
            return None
        resource = storage_resource(call.resource)
        key = f"{storage_prefix(resource)}{call.request.namespace}/{name_of(new)}"
        taken: list[tuple[_Account, dict[str, Quantity]]] = []
        for name in sorted(accounts):
            account = accounts[name]
            more = _growth(account.tally, resource, new, old)
            over = [each for each, amount in more.items() if _exceeds(account, each, amount)]
            if over:
                raise denied(call, new, _exceeded(name, account, over, more))
            if more:
                taken.append((account, more))
        for account, more in taken:
            account.claims.setdefault(key, []).append(more)

        def undo() -> None:
            for account, more in taken:
                held = account.claims.get(key, [])
                # Another write of the same object may have come first, and taken all claims on it away.
                account.claims[key] = [each for each in held if each is not more]
                if not account.claims[key]:
                    del account.claims[key]

        return undo

    # --- what is counted

    def _of(self, namespace: str) -> dict[str, _Account]:
        if not self._open:
            self._open = True
            cache = self.hub.cache(storage_prefix(RESOURCE_QUOTAS))
            cache.listeners.append(self._quota_changed)
            for entry in list(cache.entries.values()):
                self._account(entry.obj)
        return self._accounts.get(namespace, {})

    def _quota_changed(self, change: Change) -> None:
        obj = change.entry.obj
        if change.type == "DELETED":
            self._accounts.get(namespace_of(obj), {}).pop(name_of(obj), None)
        elif change.previous is None or change.previous.obj.get("spec") != obj.get("spec"):
            self._account(obj)

    def _account(self, quota: Obj) -> None:
        tally = Tally(quota)
        namespace = tally.namespace
        for resource in tally.resources:
            prefix = storage_prefix(resource)
            cache = self.hub.cache(prefix)
            if prefix not in self._followed:
                self._followed[prefix] = storage_resource(resource)
                cache.listeners.append(self._changed)
            for entry in cache.scan(f"{prefix}{namespace}/"):
                tally.count(resource, None, entry.obj)
        present = self._accounts.setdefault(namespace, {})
        known = present.get(name_of(quota))
        present[name_of(quota)] = _Account(tally, known.claims if known else {})

    def _changed(self, change: Change) -> None:
        key = change.entry.key
        head, _, _ = key.rpartition("/")
        prefix, _, namespace = head.rpartition("/")
        accounts = self._accounts.get(namespace)
        if not accounts:
            return
        resource = self._followed[f"{prefix}/"]
        old = change.previous.obj if change.previous is not None else None
        new = None if change.type == "DELETED" else change.entry.obj
        for account in accounts.values():
            account.tally.count(resource, old, new)
            # Whoever else claimed for this object wrote upon a revision that is past: it will be refused.
            account.claims.pop(key, None)


def _growth(tally: Tally, resource: Resource, new: Obj, old: Obj | None) -> dict[str, Quantity]:
    before = tally.takes(resource, old)
    nothing = Quantity(0)
    grown = {name: amount - before.get(name, nothing) for name, amount in tally.takes(resource, new).items()}
    return {name: amount for name, amount in grown.items() if amount.nano > 0}


def _exceeds(account: _Account, name: str, more: Quantity) -> bool:
    return account.used(name).nano + more.nano > account.tally.hard[name].nano


def _exceeded(name: str, account: _Account, over: list[str], more: dict[str, Quantity]) -> str:
    requested = quotas.pretty({each: more[each] for each in over})
    used = quotas.pretty({each: account.used(each) for each in over})
    limited = quotas.pretty({each: account.tally.hard[each] for each in over})
    return f"exceeded quota: {name}, requested: {requested}, used: {used}, limited: {limited}"
