"""Whether a container that has ended is started again: its own rules, its own policy, then the Pod's. Pure.

Source: concepts/workloads/pods/pod-lifecycle, "Container restarts"; KEP-5307 for `restartPolicyRules`.
"""

from __future__ import annotations

from sampan.api.objects import Obj


def is_restarted(container: Obj, pod_policy: str, code: int) -> bool:
    """`code`: what its last attempt ended with."""
    policy = container.get("restartPolicy")
    if policy is None:
        policy = pod_policy
    elif any(_matches(rule, code) for rule in container.get("restartPolicyRules") or ()):
        return True
    return policy == "Always" or (policy == "OnFailure" and code != 0)


def _matches(rule: Obj, code: int) -> bool:
    codes = rule.get("exitCodes")
    if rule.get("action") != "Restart" or codes is None:
        return False
    listed = code in (codes.get("values") or ())
    return listed if codes.get("operator") == "In" else not listed
