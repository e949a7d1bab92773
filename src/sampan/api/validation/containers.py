"""Rules of the three lists of containers in a Pod spec."""

from __future__ import annotations

from dataclasses import dataclass

from sampan.api import names, podspec
from sampan.api.errors import duplicate, forbidden_value, invalid_value, required, too_many, value_not_found
from sampan.api.objects import Obj
from sampan.api.validation import env, probes, resources, security, volumes
from sampan.api.validation.check import (
    Errors,
    complain,
    dicts,
    form,
    needed,
    needed_form,
    one_of,
    unsupported,
)

PROTOCOLS = ("SCTP", "TCP", "UDP")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
RESTART_POLICIES = ("Always", "Never", "OnFailure")
MAX_RESTART_RULES, MAX_RESTART_CODES = 20, 255
MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
NOT_IN_INIT = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
NOT_IN_EPHEMERAL = (
    "ports",
    "resources",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the rules of a container need to know of its Pod."""

    volumes: dict[str, Obj]
    claims: set[str]
    grace_period_s: int | None
    host_users: bool
    restart_policy: str


def surroundings(spec: Obj) -> Surroundings:
    return Surroundings(
        volumes=volumes.by_name(spec),
        claims={claim.get("name") or "" for _, claim in dicts(spec, "resourceClaims")} - {""},
        grace_period_s=spec.get("terminationGracePeriodSeconds"),
        host_users=spec.get("hostUsers") is not False,
        restart_policy=spec.get("restartPolicy") or "",
    )


def all_lists(path: str, spec: Obj) -> Errors:
    around = surroundings(spec)
    yield from _main(f"{path}.containers", spec, around)
    yield from _init(f"{path}.initContainers", spec, around)
    yield from _ephemeral(f"{path}.ephemeralContainers", spec, around)


def _main(path: str, spec: Obj, around: Surroundings) -> Errors:
    if not spec.get("containers"):
        yield required(path)
    seen = set()
    for index, container in dicts(spec, "containers"):
        at, name = f"{path}[{index}]", container.get("name") or ""
        yield from _any(at, container, around)
        if name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)
        yield from probes.of_container(at, container, around.grace_period_s)
        yield from _restart(at, container)
    yield from _host_ports(path, dicts(spec, "containers"))


def _init(path: str, spec: Obj, around: Surroundings) -> Errors:
    seen = {container.get("name") or "" for _, container in dicts(spec, "containers")}
    for index, container in dicts(spec, "initContainers"):
        at, name = f"{path}[{index}]", container.get("name") or ""
        yield from _any(at, container, around)
        yield from _restart(at, container)
        if name and name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)
        # They run one by one, so each may have the same ports as another.
        yield from _host_ports(path, [(0, container)])
        if podspec.is_sidecar(container):
            yield from probes.of_container(at, container, around.grace_period_s)
            continue
        for field in NOT_IN_INIT:
            if container.get(field) is not None:
                sentence = "may not be set for init containers without restartPolicy=Always"
                yield forbidden_value(f"{at}.{field}", sentence)


def _ephemeral(path: str, spec: Obj, around: Surroundings) -> Errors:
    others = {c.get("name") or "" for key in ("containers", "initContainers") for _, c in dicts(spec, key)}
    seen = set(others)
    for index, container in dicts(spec, "ephemeralContainers"):
        at, name = f"{path}[{index}]", container.get("name") or ""
        yield from _any(at, container, around)
        yield from trimmed_image(at, container)
        if name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)
        target = container.get("targetContainerName")
        if target and target not in others:
            yield value_not_found(f"{at}.targetContainerName", target)
        for field in NOT_IN_EPHEMERAL:
            if container.get(field):
                yield forbidden_value(f"{at}.{field}", "cannot be set for an Ephemeral Container")
        for place, mount in dicts(container, "volumeMounts"):
            for field in ("subPath", "subPathExpr"):
                if mount.get(field):
                    where = f"{at}.volumeMounts[{place}].{field}"
                    yield forbidden_value(where, "cannot be set for an Ephemeral Container")


def _any(path: str, container: Obj, around: Surroundings) -> Errors:
    """What holds for all kinds of containers."""
    yield from needed_form(f"{path}.name", container.get("name"), names.dns_label)
    yield from needed(f"{path}.image", container.get("image"))
    policy = container.get("terminationMessagePolicy")
    yield from one_of(f"{path}.terminationMessagePolicy", policy, MESSAGE_POLICIES)
    yield from _ports(f"{path}.ports", container)
    yield from env.variables(path, container, around.volumes)
    yield from volumes.mounts(path, container, around.volumes)
    yield from one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), PULL_POLICIES)
    yield from resources.container(f"{path}.resources", container.get("resources"), around.claims)
    yield from _resize(f"{path}.resizePolicy", container, around.restart_policy)
    context = container.get("securityContext")
    yield from security.container(f"{path}.securityContext", context, host_users=around.host_users)


def trimmed_image(path: str, container: Obj) -> Errors:
    image = container.get("image") or ""
    if image != image.strip():
        yield invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace")


def _ports(path: str, container: Obj) -> Errors:
    seen = set()
    for index, port in dicts(container, "ports"):
        at, name = f"{path}[{index}]", port.get("name")
        if name:
            complaints = names.port_name(name)
            yield from complain(f"{at}.name", name, complaints)
            if not complaints and name in seen:
                yield duplicate(f"{at}.name", name)
            seen.add(name)
        if not port.get("containerPort"):
            yield required(f"{at}.containerPort")
        else:
            number = port["containerPort"]
            yield from complain(f"{at}.containerPort", number, names.port_number(number))
        if port.get("hostPort"):
            yield from complain(f"{at}.hostPort", port["hostPort"], names.port_number(port["hostPort"]))
        if port.get("hostIP"):
            yield from form(f"{at}.hostIP", port["hostIP"], names.ip)
        yield from one_of(f"{at}.protocol", port.get("protocol"), PROTOCOLS)


def _host_ports(path: str, containers: list[tuple[int, Obj]]) -> Errors:
    seen = set()
    for index, container in containers:
        for place, port in dicts(container, "ports"):
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol', '')}/{port.get('hostIP') or ''}/{port['hostPort']}"
            if key in seen:
                yield duplicate(f"{path}[{index}].ports[{place}].hostPort", key)
            seen.add(key)


def _restart(path: str, container: Obj) -> Errors:
    """A container's own restart policy and its rules (KEP-5307)."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    if policy is None and rules:
        yield required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used")
    elif policy is not None and policy not in RESTART_POLICIES:
        yield unsupported(f"{path}.restartPolicy", policy, RESTART_POLICIES)
    if len(rules) > MAX_RESTART_RULES:
        yield too_many(f"{path}.restartPolicyRules", len(rules), MAX_RESTART_RULES)
    for index, rule in dicts(container, "restartPolicyRules"):
        at, codes = f"{path}.restartPolicyRules[{index}]", rule.get("exitCodes")
        # RestartAllContainers is alpha in 1.35 and off, as upstream has it by default.
        if rule.get("action") != "Restart":
            yield unsupported(f"{at}.action", rule.get("action") or "", ("Restart",))
        if codes is None:
            yield required(f"{at}.exitCodes", "must be specified")
            continue
        if codes.get("operator") not in ("In", "NotIn"):
            yield unsupported(f"{at}.exitCodes.operator", codes.get("operator") or "", ("In", "NotIn"))
        values = codes.get("values") or []
        if len(values) > MAX_RESTART_CODES:
            yield too_many(f"{at}.exitCodes.values", len(values), MAX_RESTART_CODES)


def _resize(path: str, container: Obj, restart_policy: str) -> Errors:
    seen = set()
    for index, policy in dicts(container, "resizePolicy"):
        resource, action = policy.get("resourceName"), policy.get("restartPolicy")
        if resource in seen:
            yield duplicate(f"{path}[{index}]", resource)
        seen.add(resource)
        yield from one_of(path, resource, ("cpu", "memory"))
        yield from one_of(path, action, ("NotRequired", "RestartContainer"))
        if restart_policy == "Never" and action != "NotRequired":
            yield invalid_value(path, action, "must be 'NotRequired' when `restartPolicy` is 'Never'")
