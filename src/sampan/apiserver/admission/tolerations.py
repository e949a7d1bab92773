"""DefaultTolerationSeconds: a Pod stays five minutes on a node that is lost."""

from __future__ import annotations

from sampan.api.objects import Obj
from sampan.apiserver.admission.plugin import CREATE, UPDATE, Plugin
from sampan.apiserver.registry.hooks import Call

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
TOLERATION_S = 300


class DefaultTolerationSeconds(Plugin):
    operations = frozenset({CREATE, UPDATE})

    async def mutate(self, call: Call, pod: Obj, old: Obj | None) -> None:
        tolerations = pod["spec"].get("tolerations") or []
        missing = [
            key for key in (NOT_READY, UNREACHABLE) if not any(_tolerates(t, key) for t in tolerations)
        ]
        if missing:
            pod["spec"]["tolerations"] = tolerations + [
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_S}
                for key in missing
            ]


def _tolerates(toleration: Obj, key: str) -> bool:
    return toleration.get("key") in (key, None, "") and toleration.get("effect") in ("NoExecute", None, "")
