"""Services: cluster addresses and node ports, given out without races.

`prepare_*` settle what can be said of a Service by itself; `reserve` completes it after validation with what
only the server can choose; `companions` are the IPAddress objects, written in the same transaction. Source:
concepts/services-networking/service, concepts/services-networking/cluster-ip-allocation.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import orjson

from sampan.api import errors
from sampan.api.defaults.service import balancer_status
from sampan.api.objects import Obj
from sampan.api.resources import SERVICES
from sampan.api.servicewarnings import warnings_of
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.registry import families, nodeports
from sampan.apiserver.registry.clusterips import ClusterIPs, addresses_of
from sampan.apiserver.registry.hooks import Call, Hooks, Undo
from sampan.apiserver.registry.nodeports import NodePorts
from sampan.apiserver.registry.servicechange import carry_over, needs_cluster_ip, pair_cluster_ips
from sampan.apiserver.watchcache import Change, Hub
from sampan.store.contract import Op


class ServiceHooks(Hooks):
    """Owns the pools; follows the Services' cache to learn which holdings have ended."""

    returns_deleted = True
    creates_on_update = True

    def __init__(
        self, hub: Hub, cidrs: Sequence[str], node_ports: tuple[int, int], reserved: Collection[int] = ()
    ) -> None:
        self.addresses = ClusterIPs(hub, cidrs)
        self.ports = NodePorts(*node_ports, reserved)
        self._services = hub.cache(storage_prefix(SERVICES))
        for entry in self._services.entries.values():
            self._hold(entry.obj)
        self._services.listeners.append(self._changed)

    def prepare_create(self, call: Call, obj: Obj) -> None:
        obj["status"] = {"loadBalancer": {}}
        pair_cluster_ips(obj["spec"], None)
        self._settle(obj, None)
        call.warnings += warnings_of(obj)

    def prepare_update(self, call: Call, new: Obj, old: Obj) -> None:
        carry_over(new["spec"], old["spec"])
        self._settle(new, old)
        call.warnings[:] = dict.fromkeys([*call.warnings, *warnings_of(new)])

    def prepare_status(self, call: Call, new: Obj, old: Obj) -> None:
        balancer_status(new)

    def reserve(self, call: Call, new: Obj, old: Obj | None) -> Undo:
        owner = _owner(new)
        addresses: list[str] = []
        ports: list[int] = []
        asked = orjson.loads(orjson.dumps(new["spec"]))

        def undo() -> None:
            """Nothing is held; nothing is chosen, so that another try may choose again."""
            self.addresses.give_back(addresses, owner)
            self.ports.pool.give_back(ports, owner)
            new["spec"].clear()
            new["spec"].update(asked)

        had = set(addresses_of(old)) if old is not None else set()
        try:
            broken = None
            if needs_cluster_ip(new["spec"]):
                broken = self.addresses.take(new["spec"], had, owner, addresses)
            if broken is None:
                held = nodeports.held_by(old) if old is not None else set()
                broken = self.ports.take(new["spec"], held, owner, ports)
            if broken is not None:
                raise errors.invalid(SERVICES, new["metadata"]["name"], [broken])
        except BaseException:
            undo()
            raise
        return undo

    def companions(self, call: Call, new: Obj | None, old: Obj | None) -> Sequence[Op]:
        return list(self.addresses.objects(new, old))

    def audit(self, suspects: frozenset[str]) -> frozenset[str]:
        """Ends the holdings of owners that were no Service the last time either (`suspects`): reservations
        of requests that ended without a word. Answers who is none now.
        """
        known = {_owner(entry.obj) for entry in self._services.entries.values()}
        unknown: set[str] = set()
        for pool in (*self.addresses.pools, self.ports.pool):
            for number in list(pool):
                owner = pool.holder(number)
                if owner is None or owner in known:
                    continue
                unknown.add(owner)
                if owner in suspects:
                    pool.give_back([number], owner)
        return frozenset(unknown)

    def _settle(self, new: Obj, old: Obj | None) -> None:
        if not needs_cluster_ip(new["spec"]):
            return
        kept = None if old is None else old["spec"]
        if broken := families.settle(new["spec"], kept, self.addresses.families):
            raise errors.invalid(SERVICES, new["metadata"].get("name", ""), broken)

    def _changed(self, change: Change) -> None:
        """Ends the holdings a Service no longer has; takes those that it has, should others write them."""
        now = None if change.type == "DELETED" else change.entry.obj
        if change.previous is not None:
            before = change.previous.obj
            owner = _owner(before)
            kept = set() if now is None else set(addresses_of(now))
            self.addresses.give_back(set(addresses_of(before)) - kept, owner)
            ports = set() if now is None else nodeports.held_by(now)
            self.ports.pool.give_back(nodeports.held_by(before) - ports, owner)
        if now is not None:
            self._hold(now)

    def _hold(self, service: Obj) -> None:
        owner = _owner(service)
        self.addresses.hold(addresses_of(service), owner)
        for number in nodeports.held_by(service):
            self.ports.pool.hold(number, owner)


def _owner(service: Obj) -> str:
    """The uid: a new Service of the same name is another owner."""
    return str(service["metadata"]["uid"])
