"""When a certificate request may go. Pure.

Source: reference/access-authn-authz/certificate-signing-requests: decided ones stay an hour, undecided ones a
day; and those whose certificate has ended are of no use to anybody.
"""

from __future__ import annotations

from sampan.api.clock import parse_time
from sampan.api.objects import Obj

DECIDED_S = 3600.0
UNDECIDED_S = 24 * 3600.0


def over_at(obj: Obj, certificate_ends_s: float | None) -> float:
    """Seconds since the epoch."""
    decided = [
        parse_time(each["lastUpdateTime"])
        for each in (obj.get("status") or {}).get("conditions") or ()
        if each.get("lastUpdateTime") and each["type"] in ("Approved", "Denied", "Failed")
    ]
    if decided:
        over_s = max(decided) + DECIDED_S
    else:
        over_s = parse_time(obj["metadata"]["creationTimestamp"]) + UNDECIDED_S
    return over_s if certificate_ends_s is None else min(over_s, certificate_ends_s)
