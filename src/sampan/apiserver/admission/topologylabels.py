"""PodTopologyLabels: a Pod that has a node has its zone and region too, where the downward API finds them.

Source: KEP-4742, reference/access-authn-authz/admission-controllers "PodTopologyLabels".
"""

from __future__ import annotations

from sampan.api.objects import Obj, labels_of
from sampan.api.resources import NODES
from sampan.apiserver.admission.plugin import CREATE, UPDATE, Plugin
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.registry.hooks import Call

LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class PodTopologyLabels(Plugin):
    operations = frozenset({CREATE, UPDATE})
    subresources = frozenset({"", "binding"})

    def concerns(self, call: Call, old: Obj | None) -> bool:
        """A Pod gets its node by a Binding, or has it from its author."""
        part = call.request.subresource
        return part == "binding" or (part == "" and old is None)

    async def mutate(self, call: Call, pod: Obj, old: Obj | None) -> None:
        node = pod["spec"].get("nodeName")
        prefix = storage_prefix(NODES)
        entry = self.hub.cache(prefix).get(prefix + node) if node else None
        if entry is None:
            return
        there = labels_of(entry.obj)
        if found := {name: there[name] for name in LABELS if name in there}:
            pod["metadata"]["labels"] = {**labels_of(pod), **found}
