"""Which plugins are asked about which resource, and in what order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sampan.api.objects import Obj
from sampan.api.resources import NODES, PODS, SERVICES, Resource
from sampan.apiserver.admission.externalips import DenyServiceExternalIPs
from sampan.apiserver.admission.nodetaint import TaintNodesByCondition
from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.admission.priority import Priority
from sampan.apiserver.admission.serviceaccount import ServiceAccount
from sampan.apiserver.admission.tolerations import DefaultTolerationSeconds
from sampan.apiserver.registry.hooks import Call, Undo
from sampan.apiserver.watchcache import Hub

# Upstream's order: what comes later sees what came before has added.
PLUGINS: Mapping[Resource, Sequence[type[Plugin]]] = {
    PODS: (ServiceAccount, DefaultTolerationSeconds, Priority),
    NODES: (TaintNodesByCondition,),
    SERVICES: (DenyServiceExternalIPs,),
}


class Admission:
    """Asks the plugins that concern a write. One instance of each serves all resources it is listed for."""

    def __init__(self, hub: Hub, plugins: Mapping[Resource, Sequence[type[Plugin]]] = PLUGINS) -> None:
        made = {kind: kind(hub) for listed in plugins.values() for kind in listed}
        self._plugins = {resource: [made[kind] for kind in listed] for resource, listed in plugins.items()}

    async def mutate(self, call: Call, new: Obj, old: Obj | None) -> None:
        for plugin in self._concerned(call, old):
            await plugin.mutate(call, new, old)

    async def validate(self, call: Call, new: Obj, old: Obj | None) -> None:
        """Raises StatusError for what is forbidden although it is valid."""
        for plugin in self._concerned(call, old):
            await plugin.validate(call, new, old)

    def reserve(self, call: Call, new: Obj, old: Obj | None) -> Undo:
        """What plugins hand out or count; the answer takes all of it back."""
        undone: list[Undo] = []

        def undo() -> None:
            while undone:
                undone.pop()()

        try:
            for plugin in self._concerned(call, old):
                taken = plugin.reserve(call, new, old)
                if taken is not None:
                    undone.append(taken)
        except BaseException:
            undo()
            raise
        return undo

    def _concerned(self, call: Call, old: Obj | None) -> list[Plugin]:
        return [plugin for plugin in self._plugins.get(call.resource, ()) if plugin.concerns(call, old)]
