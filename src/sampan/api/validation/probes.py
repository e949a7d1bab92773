"""Rules of probes and life cycle hooks: what may be asked of a container, and how often."""

from __future__ import annotations

from sampan.api import names
from sampan.api.errors import forbidden_value, invalid_value, required
from sampan.api.objects import Obj
from sampan.api.validation.check import Errors, dicts, not_negative, one_of, port, port_or_name

TIMINGS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
# In the order in which the first one given counts and any further one is one too many.
PROBE_ACTIONS = ("exec", "httpGet", "tcpSocket", "grpc")
HOOK_ACTIONS = ("exec", "httpGet", "tcpSocket", "sleep")


def of_container(path: str, container: Obj, grace_period_s: int | None) -> Errors:
    """Life cycle hooks and the three probes."""
    lifecycle = container.get("lifecycle") or {}
    for name in ("postStart", "preStop"):
        if lifecycle.get(name) is not None:
            yield from _action(f"{path}.lifecycle.{name}", lifecycle[name], HOOK_ACTIONS, grace_period_s)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            yield from _probe(f"{path}.{name}", name, container[name], grace_period_s)


def _probe(path: str, name: str, probe: Obj, grace_period_s: int | None) -> Errors:
    yield from _action(path, probe, PROBE_ACTIONS, grace_period_s)
    for timing in TIMINGS:
        yield from not_negative(f"{path}.{timing}", probe.get(timing))
    own_grace = probe.get("terminationGracePeriodSeconds")
    at = f"{path}.terminationGracePeriodSeconds"
    if own_grace is not None and own_grace <= 0:
        yield invalid_value(at, own_grace, "must be greater than 0")
    if name == "readinessProbe":
        if own_grace is not None:
            yield invalid_value(at, own_grace, "must not be set for readinessProbes")
    elif (probe.get("successThreshold") or 0) != 1:
        yield invalid_value(f"{path}.successThreshold", probe.get("successThreshold") or 0, "must be 1")


def _action(path: str, holder: Obj, kinds: tuple[str, ...], grace_period_s: int | None) -> Errors:
    given = [kind for kind in kinds if holder.get(kind) is not None]
    if not given:
        yield required(path, "must specify a handler type")
        return
    first, *others = given
    yield from _CHECKS[first](f"{path}.{first}", holder[first], grace_period_s)
    for kind in others:
        yield forbidden_value(f"{path}.{kind}", "may not specify more than 1 handler type")


def _exec(path: str, action: Obj, grace_period_s: int | None) -> Errors:
    if not action.get("command"):
        yield required(f"{path}.command")


def _http_get(path: str, action: Obj, grace_period_s: int | None) -> Errors:
    if not action.get("path"):
        yield required(f"{path}.path")
    yield from port_or_name(f"{path}.port", action.get("port"))
    yield from one_of(f"{path}.scheme", action.get("scheme"), ("HTTP", "HTTPS"))
    for _, header in dicts(action, "httpHeaders"):
        name = header.get("name") or ""
        for sentence in names.http_header(name):
            yield invalid_value(f"{path}.httpHeaders", name, sentence)


def _tcp_socket(path: str, action: Obj, grace_period_s: int | None) -> Errors:
    return port_or_name(f"{path}.port", action.get("port"))


def _grpc(path: str, action: Obj, grace_period_s: int | None) -> Errors:
    return port(f"{path}.port", action.get("port"))


def _sleep(path: str, action: Obj, grace_period_s: int | None) -> Errors:
    seconds = action.get("seconds") or 0
    if grace_period_s is not None and not 0 <= seconds <= grace_period_s:
        sentence = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_period_s})"
        yield invalid_value(path, seconds, sentence)


_CHECKS = {
    "exec": _exec,
    "httpGet": _http_get,
    "tcpSocket": _tcp_socket,
    "grpc": _grpc,
    "sleep": _sleep,
}
