"""Which plugins are asked about which resource, and in what order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sampan.api.objects import Obj
from sampan.api.quota import CLAIMS
from sampan.api.resources import (
    CERTIFICATE_REQUESTS,
    LEASES,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUMES,
    PODS,
    PRIORITY_CLASSES,
    SERVICES,
    Resource,
)
from sampan.apiserver.admission.certificatesubject import CertificateSubjectRestriction
from sampan.apiserver.admission.claimresize import PersistentVolumeClaimResize
from sampan.apiserver.admission.defaultclass import DefaultStorageClass
from sampan.apiserver.admission.externalips import DenyServiceExternalIPs
from sampan.apiserver.admission.limitranger import LimitRanger
from sampan.apiserver.admission.noderestriction import NodeRestriction
from sampan.apiserver.admission.nodetaint import TaintNodesByCondition
from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.admission.podsecurity import TEMPLATES, PodSecurity
from sampan.apiserver.admission.podwarnings import PodWarnings
from sampan.apiserver.admission.priority import Priority
from sampan.apiserver.admission.resourcequota import ResourceQuota
from sampan.apiserver.admission.runtimeclass import RuntimeClass
from sampan.apiserver.admission.serviceaccount import ServiceAccount
from sampan.apiserver.admission.storageprotection import StorageObjectInUseProtection
from sampan.apiserver.admission.tolerations import DefaultTolerationSeconds
from sampan.apiserver.admission.topologylabels import PodTopologyLabels
from sampan.apiserver.registry.hooks import Call, Undo
from sampan.apiserver.watchcache import Hub

# Upstream's order: what comes later sees what came before has added.
PLUGINS: Mapping[Resource, Sequence[type[Plugin]]] = {
    NAMESPACES: (PodSecurity,),
    **dict.fromkeys(TEMPLATES, (PodSecurity, PodWarnings)),
    PODS: (
        LimitRanger,
        ServiceAccount,
        NodeRestriction,
        PodSecurity,
        Priority,
        DefaultTolerationSeconds,
        RuntimeClass,
        PodTopologyLabels,
        PodWarnings,
    ),
    PRIORITY_CLASSES: (Priority,),
    NODES: (NodeRestriction, TaintNodesByCondition),
    LEASES: (NodeRestriction,),
    CERTIFICATE_REQUESTS: (NodeRestriction, CertificateSubjectRestriction),
    SERVICES: (DenyServiceExternalIPs,),
    PERSISTENT_VOLUMES: (StorageObjectInUseProtection,),
    CLAIMS: (
        LimitRanger,
        StorageObjectInUseProtection,
        PersistentVolumeClaimResize,
        DefaultStorageClass,
    ),
}
LAST: Sequence[type[Plugin]] = (ResourceQuota,)
"""Asked about every resource, when all others have agreed."""


class Admission:
    """Asks the plugins that concern a write. One instance of each serves all resources it is listed for.

    `ready`: plugins that need more than the hub to be made, in place of those that would be made of it alone.
    """

    def __init__(
        self,
        hub: Hub,
        plugins: Mapping[Resource, Sequence[type[Plugin]]] = PLUGINS,
        last: Sequence[type[Plugin]] = LAST,
        ready: Sequence[Plugin] = (),
    ) -> None:
        made: dict[type[Plugin], Plugin] = {type(plugin): plugin for plugin in ready}
        for kind in (kind for listed in plugins.values() for kind in listed):
            made.setdefault(kind, kind(hub))
        self._last = [kind(hub) for kind in last]
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
        plugins = (*self._plugins.get(call.resource, ()), *self._last)
        return [plugin for plugin in plugins if plugin.concerns(call, old)]
