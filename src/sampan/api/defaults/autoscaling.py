"""Defaults of group autoscaling."""

from __future__ import annotations

from sampan.api.defaults.fill import fill, fill_blank, section
from sampan.api.objects import Obj

ANY_PERCENT = {"type": "Percent", "value": 100, "periodSeconds": 15}
FOUR_PODS = {"type": "Pods", "value": 4, "periodSeconds": 15}


def autoscaler(obj: Obj) -> None:
    """autoscaling/v2."""
    spec = section(obj, "spec")
    fill(spec, "minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        up = section(behavior, "scaleUp")
        fill(up, "stabilizationWindowSeconds", 0)
        _scaling_rules(up, [dict(FOUR_PODS), dict(ANY_PERCENT)])
        _scaling_rules(section(behavior, "scaleDown"), [dict(ANY_PERCENT)])


def _scaling_rules(rules: Obj, policies: list[Obj]) -> None:
    fill_blank(rules, "selectPolicy", "Max")
    fill_blank(rules, "policies", policies)


def autoscaler_v1(obj: Obj) -> None:
    fill(section(obj, "spec"), "minReplicas", 1)
