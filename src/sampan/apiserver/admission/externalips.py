"""External IPs of Services: whoever may write Services could otherwise take any address's traffic
(CVE-2020-8554). All are denied but those of the networks that the operator allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

from sampan.api import names
from sampan.api.objects import Obj
from sampan.apiserver.admission.plugin import CREATE, UPDATE, Plugin, denied
from sampan.apiserver.registry.hooks import Call
from sampan.apiserver.watchcache import Hub


class DenyServiceExternalIPs(Plugin):
    """What a Service has already, it keeps."""

    operations = frozenset({CREATE, UPDATE})

    def __init__(self, hub: Hub, allowed: Sequence[str] = ()) -> None:
        super().__init__(hub)
        self._allowed = [ip_network(cidr) for cidr in allowed]

    async def validate(self, call: Call, new: Obj, old: Obj | None) -> None:
        had = set((old or {}).get("spec", {}).get("externalIPs") or ())
        asked = set(new.get("spec", {}).get("externalIPs") or ())
        for address in sorted(asked - had):
            if not self._allows(address):
                raise denied(call, new, self._why(address))

    def _allows(self, text: str) -> bool:
        address = names.parse_ip(text)
        return address is not None and any(address in network for network in self._allowed)

    def _why(self, address: str) -> str:
        if not self._allowed:
            return "Use of external IPs is denied by admission control"
        listed = ", ".join(map(str, self._allowed))
        return f"Use of external IP {address} is denied by admission control; allowed are those of {listed}"
