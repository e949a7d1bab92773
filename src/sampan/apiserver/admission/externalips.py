"""DenyServiceExternalIPs: whoever may write Services could otherwise take any address's traffic."""

from __future__ import annotations

from sampan.api.objects import Obj
from sampan.apiserver.admission.plugin import CREATE, UPDATE, Plugin, denied
from sampan.apiserver.registry.hooks import Call


class DenyServiceExternalIPs(Plugin):
    operations = frozenset({CREATE, UPDATE})

    async def validate(self, call: Call, new: Obj, old: Obj | None) -> None:
        allowed = set((old or {}).get("spec", {}).get("externalIPs") or ())
        asked = set(new.get("spec", {}).get("externalIPs") or ())
        if asked - allowed:
            why = "Use of external IPs is denied by admission control"
            raise denied(call, new, why)
