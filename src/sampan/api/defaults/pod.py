"""Defaults of Pods and of every Pod template: containers, ports, env, probes."""

from __future__ import annotations

from sampan.api import podspec
from sampan.api.defaults.fill import entries, fill, fill_blank, section, twins
from sampan.api.defaults.volume import field_source, volumes
from sampan.api.objects import Obj

POD_LEVEL = ("cpu", "memory")
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
HOOKS = ("postStart", "preStop")


def pod(obj: Obj) -> None:
    spec = section(obj, "spec")
    pod_spec(spec)
    fill(spec, "enableServiceLinks", True)
    for name in ("initContainers", "containers"):
        for container in entries(spec, name):
            _requests_from_limits(container["resources"])
            if spec.get("hostNetwork"):
                _host_ports(container)
    _pod_level_requests(spec)
    status = section(obj, "status")
    fill_blank(status, "phase", "Pending")
    if not status.get("qosClass"):
        try:
            status["qosClass"] = podspec.qos_class(obj)
        except ValueError:
            return  # an amount that is no quantity: validation names it


def pod_template(obj: Obj) -> None:
    """Kind PodTemplate."""
    template(section(obj, "template"))


def template(holder: Obj) -> None:
    """A `PodTemplateSpec`."""
    pod_spec(section(holder, "spec"))


def pod_spec(spec: Obj) -> None:
    fill_blank(spec, "restartPolicy", "Always")
    fill_blank(spec, "dnsPolicy", "ClusterFirst")
    fill(spec, "terminationGracePeriodSeconds", 30)
    fill_blank(spec, "schedulerName", "default-scheduler")
    fill(spec, "securityContext", {})
    # Alpha and off in 1.35 (KEP-4671): dropped without a word, as upstream does.
    spec.pop("workloadRef", None)
    twins(spec, "serviceAccountName", "serviceAccount")
    for name in podspec.CONTAINER_LISTS:
        for container in entries(spec, name):
            _container(container)
    if spec.get("volumes"):
        volumes(spec)


def _container(container: Obj) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = podspec.default_pull_policy(container.get("image") or "")
    fill_blank(container, "terminationMessagePath", "/dev/termination-log")
    fill_blank(container, "terminationMessagePolicy", "File")
    fill(container, "resources", {})
    for port in container.get("ports") or ():
        fill_blank(port, "protocol", "TCP")
    for variable in container.get("env") or ():
        if source := variable.get("valueFrom"):
            field_source(source)
    for name in PROBES:
        probe = container.get(name)
        if probe is not None:
            _probe(probe)
    lifecycle = container.get("lifecycle")
    if lifecycle:
        # Alpha and off in 1.35 (KEP-4960): dropped without a word, as upstream does.
        lifecycle.pop("stopSignal", None)
        for name in HOOKS:
            http_get = (lifecycle.get(name) or {}).get("httpGet")
            if http_get is not None:
                _http_get(http_get)


def _probe(probe: Obj) -> None:
    # Zero is Go's "not given" for these four.
    fill_blank(probe, "timeoutSeconds", 1)
    fill_blank(probe, "periodSeconds", 10)
    fill_blank(probe, "successThreshold", 1)
    fill_blank(probe, "failureThreshold", 3)
    if probe.get("httpGet") is not None:
        _http_get(probe["httpGet"])
    if probe.get("grpc") is not None:
        fill(probe["grpc"], "service", "")


def _http_get(action: Obj) -> None:
    fill_blank(action, "path", "/")
    fill_blank(action, "scheme", "HTTP")


def _requests_from_limits(resources: Obj) -> None:
    limits = resources.get("limits")
    if limits:
        requests = section(resources, "requests")
        for name, amount in limits.items():
            fill(requests, name, amount)


def _host_ports(container: Obj) -> None:
    for port in container.get("ports") or ():
        if not port.get("hostPort") and port.get("containerPort"):
            port["hostPort"] = port["containerPort"]


def _pod_level_requests(spec: Obj) -> None:
    """Pod-level limits without requests: what the containers ask for together, else the limit (KEP-2837)."""
    resources = spec.get("resources") or {}
    limits = resources.get("limits")
    if not limits:
        return
    requests = section(resources, "requests")
    try:
        whole = podspec.requests({"spec": {**spec, "resources": {}, "overhead": {}}})
    except ValueError:
        return  # an amount that is no quantity: validation names it
    for name in POD_LEVEL:
        if name in whole:
            fill(requests, name, str(podspec.as_quantity(name, whole[name])))
    for name, limit in limits.items():
        fill(requests, name, limit)
