"""The `eviction` subresource of Pods: a delete that asks the Pod's disruption budget first.

The budget's status is written before the Pod is deleted, so that of many evictions at once no more go through
than it allows; who was too late is told 429 and may try again. A Pod that is not yet up, or has ended, needs
no budget. Source: concepts/scheduling-eviction/api-eviction, tasks/run-application/configure-pdb.
"""

from __future__ import annotations

from sampan.api import clock, errors, resources
from sampan.api.errors import StatusError
from sampan.api.objects import Obj, condition_of, is_deleting, labels_of, name_of, namespace_of
from sampan.api.podspec import is_ready, is_terminal, phase
from sampan.api.request import Request
from sampan.api.resources import PODS
from sampan.api.selectors import label_selector_from
from sampan.apiserver import deletion
from sampan.apiserver.pipeline import Pipeline
from sampan.apiserver.registry.hooks import Call
from sampan.apiserver.storage import scope_prefix

BUDGETS = resources.resource("policy", "v1", "poddisruptionbudgets")
REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
CAUSE = "DisruptionBudget"
RETRY_S = 10
MAX_DISRUPTED = 2000
"""Evictions of one budget that its controller has not confirmed yet."""
_TARGET = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}


async def evict(pipeline: Pipeline, call: Call, body: Obj) -> None:
    """Raises StatusError: 429 where the budget does not allow it."""
    name = call.request.name
    if (body.get("metadata") or {}).get("name", name) != name:
        raise errors.bad_request("name in URL does not match name in Eviction object")
    asked = Request("delete", PODS, call.request.namespace, name, "", call.request.params)
    options = deletion.requested(
        Request("delete", PODS, asked.namespace, name, "", asked.params, body.get("deleteOptions"))
    )
    on_pod = Call(call.user, asked, call.hub, call.dry_run or bool(options.dry_run), call.warnings)
    pod = pipeline.get(on_pod).obj
    if not _needs_no_budget(pod):
        await _take(pipeline, on_pod, pod)
    await _delete(pipeline, on_pod, options)


def _needs_no_budget(pod: Obj) -> bool:
    return is_terminal(pod) or phase(pod) == "Pending" or is_deleting(pod)


async def _take(pipeline: Pipeline, call: Call, pod: Obj) -> None:
    prefix = scope_prefix(BUDGETS, namespace_of(pod))
    found = [entry for entry in pipeline.cache(BUDGETS).scan(prefix) if _selects(entry.obj, labels_of(pod))]
    if not found:
        return
    if len(found) > 1:
        message = (
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
        raise errors.status_error(500, "InternalError", message, {})
    budget = found[0].obj
    if not is_ready(pod) and _lets_the_unhealthy_go(budget):
        return
    request = Request("update", BUDGETS, namespace_of(pod), name_of(budget), "status")
    on_budget = Call(call.user, request, call.hub, call.dry_run)
    try:
        await pipeline.modify(on_budget, lambda latest: _taken(latest, name_of(pod)), "status")
    except StatusError as error:
        if error.code != 404:  # 404: the budget has gone meanwhile, and what it asked for with it
            raise


def _selects(budget: Obj, labels: dict[str, str]) -> bool:
    """An empty selector selects everything, none selects nothing."""
    selector = (budget.get("spec") or {}).get("selector")
    return selector is not None and label_selector_from(selector).matches(labels)


def _lets_the_unhealthy_go(budget: Obj) -> bool:
    """A Pod that is not ready counts for nothing: it goes if the others are enough, or always if said so."""
    spec, status = budget.get("spec") or {}, budget.get("status") or {}
    if spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    wanted = status.get("desiredHealthy", 0)
    return wanted > 0 and status.get("currentHealthy", 0) >= wanted


def _taken(budget: Obj, pod: str) -> Obj:
    """The budget (the caller's own copy) with one disruption less."""
    name, status = name_of(budget), budget.setdefault("status", {})
    generation = budget["metadata"].get("generation", 0)
    if status.get("observedGeneration", 0) < generation:
        raise _refused(f"The disruption budget {name} is still being processed by the server.", RETRY_S)
    allowed = status.get("disruptionsAllowed", 0)
    if allowed < 0:
        raise errors.forbidden(BUDGETS, name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or ()) > MAX_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise errors.forbidden(BUDGETS, name, why)
    if allowed == 0:
        problem = condition_of(budget, "DisruptionAllowed") or {}
        if problem.get("reason") == "SyncFailed":
            raise _refused(problem.get("message", ""), 0)
        wanted, there = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        raise _refused(
            f"The disruption budget {name} needs {wanted} healthy pods and has {there} currently", 0
        )
    status["disruptionsAllowed"] = allowed - 1
    status["disruptedPods"] = {**(status.get("disruptedPods") or {}), pod: clock.now()}
    if allowed == 1 and (condition := condition_of(budget, "DisruptionAllowed")) is not None:
        if condition["status"] != "False":
            condition["lastTransitionTime"] = clock.now()
        condition |= {"status": "False", "reason": "InsufficientPods", "observedGeneration": generation}
    return budget


def _refused(cause: str, retry_s: int) -> StatusError:
    error = errors.too_many_requests(REFUSED, retry_s)
    error.status.setdefault("details", {})["causes"] = [{"reason": CAUSE, "message": cause}]
    return error


async def _delete(pipeline: Pipeline, call: Call, options: deletion.Options) -> None:
    """Marks the Pod as disrupted, where there is still one to be marked, and deletes it."""
    request = call.request
    if not is_terminal(pipeline.get(call).obj):
        on_status = Request("update", PODS, request.namespace, request.name, "status")
        await pipeline.modify(
            Call(call.user, on_status, call.hub, call.dry_run), lambda pod: _marked(pod, options), "status"
        )
    await pipeline.delete(call, options)


def _marked(pod: Obj, options: deletion.Options) -> Obj:
    if options.uid and options.uid != pod["metadata"]["uid"]:
        return pod  # not the one that is meant: the delete says so
    status = pod.setdefault("status", {})
    before = condition_of(pod, "DisruptionTarget")
    kept = before is not None and before["status"] == "True"
    since = before["lastTransitionTime"] if kept and before else clock.now()
    others = [each for each in status.get("conditions") or () if each is not before]
    entry: Obj = {**_TARGET, "lastTransitionTime": since}
    if generation := pod["metadata"].get("generation"):
        entry["observedGeneration"] = generation
    status["conditions"] = [*others, entry]
    return pod
