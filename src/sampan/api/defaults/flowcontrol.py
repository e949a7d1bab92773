"""Defaults of group flowcontrol.apiserver.k8s.io."""

from __future__ import annotations

from sampan.api.defaults.fill import fill, fill_blank, section
from sampan.api.objects import Obj


def flow_schema(obj: Obj) -> None:
    fill_blank(section(obj, "spec"), "matchingPrecedence", 1000)


def priority_level(obj: Obj) -> None:
    spec = section(obj, "spec")
    limited = spec.get("limited")
    if limited is not None:
        fill(limited, "nominalConcurrencyShares", 30)
        fill(limited, "lendablePercent", 0)
        queuing = (limited.get("limitResponse") or {}).get("queuing")
        if queuing is not None:
            fill_blank(queuing, "queues", 64)
            fill_blank(queuing, "handSize", 8)
            fill_blank(queuing, "queueLengthLimit", 50)
    if spec.get("exempt") is not None:
        fill(spec["exempt"], "nominalConcurrencyShares", 0)
        fill(spec["exempt"], "lendablePercent", 0)
