"""Why a Pod fits nowhere, in the sentence that upstream's scheduler says. Pure.

No Pod is preempted here: where upstream would look for victims among Pods of lower priority, we say so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from sampan.api.objects import Obj
from sampan.scheduler.filters import Refusal

NO_NODES = "no nodes available to schedule pods"
NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_SERVED = "node(s) had Pods of lower priority, which this scheduler does not preempt"
NO_HELP = "Preemption is not helpful for scheduling"


def message(refusals: Collection[Refusal], pod_spec: Obj) -> str:
    """`0/2 nodes are available: 1 Insufficient cpu, 1 Too many pods. preemption: ...`."""
    if not refusals:
        return NO_NODES
    reasons = Counter(reason for refusal in refusals for reason in refusal.reasons)
    head = _sentence(len(refusals), reasons)
    if pod_spec.get("preemptionPolicy") == "Never":
        return f"{head} preemption: not eligible due to preemptionPolicy=Never."
    hopes = Counter(map(_hope, refusals))
    return f"{head} preemption: {_sentence(len(refusals), hopes)}"


def rejection(nodes: int, reason: str) -> str:
    """For a Pod that no node need be asked about."""
    if not nodes:
        return NO_NODES
    return (
        f"0/{nodes} nodes are available: {reason}. preemption: {_sentence(nodes, Counter({NO_HELP: nodes}))}"
    )


def _hope(refusal: Refusal) -> str:
    if refusal.final:
        return NO_HELP
    return NOT_SERVED if refusal.victims else NO_VICTIMS


def _sentence(nodes: int, reasons: Counter[str]) -> str:
    listed = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    return f"0/{nodes} nodes are available: {listed}."
