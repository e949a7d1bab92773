"""Kinds whose objects are kept and shown while nobody acts on them yet, and how their author is told.

In an upstream cluster somebody does, so that silence would be taken for success. Who builds the part takes
its line away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sampan.api.resources import Resource

_NO_PODS = "sampan has no controller of {} yet: the object is kept, but no Pods are made for it"
_NO_POLICY = "sampan does not ask {} yet: the object is kept, but no request is held to it"
_NO_RULES = "sampan does not hold requests to roles yet: whoever can authenticate may do everything"

_TOLD: Mapping[tuple[str, str], str] = {
    ("apps", "statefulsets"): _NO_PODS.format("StatefulSets"),
    ("apps", "daemonsets"): _NO_PODS.format("DaemonSets"),
    ("batch", "jobs"): _NO_PODS.format("Jobs"),
    ("batch", "cronjobs"): _NO_PODS.format("CronJobs"),
    ("autoscaling", "horizontalpodautoscalers"): (
        "sampan has no controller of HorizontalPodAutoscalers yet: the object is kept, but nothing is scaled"
    ),
    ("apiextensions.k8s.io", "customresourcedefinitions"): (
        "sampan does not serve custom resources yet: the definition is kept, but there is no such kind"
    ),
    ("apiregistration.k8s.io", "apiservices"): (
        "sampan does not ask other API servers yet: the object is kept, but its group is not served"
    ),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"): _NO_POLICY.format("webhooks"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"): _NO_POLICY.format("webhooks"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"): _NO_POLICY.format("admission policies"),
    ("rbac.authorization.k8s.io", "rolebindings"): _NO_RULES,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): _NO_RULES,
    ("resource.k8s.io", "resourceclaims"): (
        "sampan has no devices to give away yet: the object is kept, but nothing is allocated to it"
    ),
}


def warnings(verb: str, resource: Resource) -> Sequence[str]:
    """What the author of a new object should know, in one line."""
    told = _TOLD.get((resource.group, resource.plural)) if verb == "create" else None
    return (told,) if told else ()
