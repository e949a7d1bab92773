"""Which Services select a Pod and which Pods a Service, without a walk over all of them.

Services are indexed by one pair of their selector, Pods by every label pair; both lookups then check the rest
of the selector on the few candidates. `relevant` says what of a Pod an endpoint is made of: a change of
anything else is nobody's business here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sampan.api.objects import Obj, is_deleting, key_of, labels_of, namespace_of
from sampan.api.podspec import is_ready, is_terminal, pod_ips
from sampan.client.informer import Informer

INDEX = "selection"


def index_services(services: Informer) -> None:
    services.add_index(INDEX, _service_values)


def index_pods(pods: Informer) -> None:
    pods.add_index(INDEX, _pod_values)


def services_of(services: Informer, pod: Obj) -> Iterator[str]:
    """Keys of the Services that select the Pod as it stands."""
    labels = labels_of(pod)
    for value in _pod_values(pod):
        for service in services.by_index(INDEX, value):
            if _selects(service, labels):
                yield key_of(service)


def pods_of(pods: Informer, service: Obj) -> list[Obj]:
    return [
        pod
        for value in _service_values(service)
        for pod in pods.by_index(INDEX, value)
        if _selects(service, labels_of(pod))
    ]


def selects(service: Obj, pod: Obj) -> bool:
    return (
        namespace_of(pod) == namespace_of(service)
        and bool(_service_values(service))
        and _selects(service, labels_of(pod))
    )


def relevant(pod: Obj) -> tuple[Any, ...]:
    """Two states of a Pod with equal values here make equal endpoints."""
    spec = pod["spec"]
    return (
        is_ready(pod),
        is_deleting(pod),
        is_terminal(pod),
        pod_ips(pod),
        labels_of(pod),
        spec.get("nodeName"),
        spec.get("hostname"),
        spec.get("subdomain"),
    )


def _selects(service: Obj, labels: dict[str, str]) -> bool:
    selector = service["spec"].get("selector") or {}
    return all(labels.get(key) == value for key, value in selector.items())


def _service_values(service: Obj) -> Iterable[str]:
    selector = service["spec"].get("selector")
    if not selector or service["spec"].get("type") == "ExternalName":
        return ()
    key = max(selector, key=lambda key: (len(selector[key]), key))  # longer values tend to be rarer
    return (f"{namespace_of(service)}/{key}={selector[key]}",)


def _pod_values(pod: Obj) -> Iterable[str]:
    namespace = namespace_of(pod)
    return [f"{namespace}/{key}={value}" for key, value in labels_of(pod).items()]
