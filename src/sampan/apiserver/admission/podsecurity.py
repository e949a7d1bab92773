"""PodSecurity: a namespace's labels say which of the Pod Security Standards its Pods must keep.

What would break the enforced level is refused; of the warned level the author is told. Workloads are never
refused, their Pods are: the author hears of it when the template is written. Mode audit asks for a line in an
audit log, which this server does not keep: its labels are checked and go no further.
Source: concepts/security/pod-security-admission.
"""

from __future__ import annotations

from collections.abc import Mapping

from sampan.api import errors
from sampan.api.objects import Obj, annotations_of, labels_of
from sampan.api.podsecurity.baseline import SECCOMP_ANNOTATION, SECCOMP_POD_ANNOTATION
from sampan.api.podsecurity.checks import reasons, told, violations
from sampan.api.podsecurity.configuration import PodSecurityConfig
from sampan.api.podsecurity.policy import LevelVersion, Policy, of_namespace
from sampan.api.podspec import all_containers
from sampan.api.resources import NAMESPACES, PODS, Resource, resource
from sampan.apiserver.admission.plugin import CREATE, UPDATE, Plugin, denied
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.registry.hooks import Call
from sampan.apiserver.watchcache import Hub

MAX_PODS = 3000
"""How many Pods of a namespace are looked at when its level rises."""

# Where workloads keep their template; Pods are their own.
TEMPLATES: Mapping[Resource, tuple[str, ...]] = {
    resource("", "v1", "replicationcontrollers"): ("spec", "template"),
    resource("", "v1", "podtemplates"): ("template",),
    resource("apps", "v1", "replicasets"): ("spec", "template"),
    resource("apps", "v1", "deployments"): ("spec", "template"),
    resource("apps", "v1", "statefulsets"): ("spec", "template"),
    resource("apps", "v1", "daemonsets"): ("spec", "template"),
    resource("batch", "v1", "jobs"): ("spec", "template"),
    resource("batch", "v1", "cronjobs"): ("spec", "jobTemplate", "spec", "template"),
}


class PodSecurity(Plugin):
    operations = frozenset({CREATE, UPDATE})
    subresources = frozenset({"", "ephemeralcontainers"})

    def __init__(self, hub: Hub, config: PodSecurityConfig | None = None) -> None:
        super().__init__(hub)
        self.config = config or PodSecurityConfig()

    async def validate(self, call: Call, new: Obj, old: Obj | None) -> None:
        if call.resource is NAMESPACES:
            self._namespace(call, new, old)
        elif call.resource is not PODS:
            self._template(call, new)
        elif old is None or _matters(new, old):
            policy = self._policy(call)
            broken = violations(policy.enforce, new["metadata"], new["spec"])
            if broken and not self._exempt(call, new["spec"]):
                raise denied(call, new, f'violates PodSecurity "{policy.enforce}": {told(broken)}')
            self._warn(call, policy.warn, new["metadata"], new["spec"])

    def _template(self, call: Call, workload: Obj) -> None:
        found = workload
        for step in TEMPLATES[call.resource]:
            found = found.get(step) or {}
        if spec := found.get("spec"):
            self._warn(call, self._policy(call).warn, found.get("metadata") or {}, spec)

    def _warn(self, call: Call, asked: LevelVersion, metadata: Obj, spec: Obj) -> None:
        broken = violations(asked, metadata, spec)
        if broken and not self._exempt(call, spec):
            call.warnings.append(f'would violate PodSecurity "{asked}": {told(broken)}')

    def _policy(self, call: Call) -> Policy:
        entry = self.hub.cache(storage_prefix(NAMESPACES)).get(
            storage_prefix(NAMESPACES) + call.request.namespace
        )
        return of_namespace(labels_of(entry.obj) if entry else {}, self.config.default)[0]

    def _exempt(self, call: Call, spec: Obj) -> bool:
        return (
            call.user.name in self.config.users
            or call.request.namespace in self.config.namespaces
            or spec.get("runtimeClassName") in self.config.runtime_classes
        )

    def _namespace(self, call: Call, new: Obj, old: Obj | None) -> None:
        """Refuses labels that say something nobody knows; a stricter level looks at the Pods there are."""
        name = new["metadata"]["name"]
        asked, broken = of_namespace(labels_of(new), self.config.default)
        before, broken_before = of_namespace(labels_of(old or {"metadata": {}}), self.config.default)
        if broken and broken != broken_before:
            raise errors.invalid(call.resource, name, broken)
        if name in self.config.namespaces:
            if asked != before:
                call.warnings.append(_exempt_namespace(name, asked, self.config.default))
        elif old is not None and _is_stricter(asked.enforce, before.enforce):
            call.warnings += self._existing(name, asked.enforce)

    def _existing(self, namespace: str, asked: LevelVersion) -> list[str]:
        prefix = f"{storage_prefix(PODS)}{namespace}/"
        pods = [entry.obj for entry in self.hub.cache(storage_prefix(PODS)).scan(prefix)]
        guilty: dict[str, list[str]] = {}
        for pod in pods[:MAX_PODS]:
            if pod["spec"].get("runtimeClassName") in self.config.runtime_classes:
                continue
            if found := violations(asked, pod["metadata"], pod["spec"]):
                guilty.setdefault(reasons(found), []).append(pod["metadata"]["name"])
        lines = []
        if len(pods) > MAX_PODS:
            lines.append(
                f"new PodSecurity enforce level only checked against the first {MAX_PODS} of {len(pods)} "
                "existing pods"
            )
        if guilty:
            level = f'the new PodSecurity enforce level "{asked}"'
            lines.append(f'existing pods in namespace "{namespace}" violate {level}')
        return lines + sorted(f"{_counted(names)}: {why}" for why, names in guilty.items())


def _matters(new: Obj, old: Obj) -> bool:
    """Whether a change touches what the checks look at: of a Pod little else can be changed."""
    return _looked_at(new) != _looked_at(old)


def _looked_at(pod: Obj) -> tuple[object, ...]:
    images = [(place, c.get("name"), c.get("image")) for place, _, c in all_containers(pod["spec"])]
    annotations = {
        key: value
        for key, value in annotations_of(pod).items()
        if key == SECCOMP_POD_ANNOTATION or key.startswith(SECCOMP_ANNOTATION)
    }
    return images, annotations


def _is_stricter(new: LevelVersion, old: LevelVersion) -> bool:
    if new == old or new.level == "privileged":
        return False
    return new.minor != old.minor or new.strictness > old.strictness


def _exempt_namespace(name: str, asked: Policy, default: Policy) -> str:
    modes = {"enforce": asked.enforce, "audit": asked.audit, "warn": asked.warn}
    said = ", ".join(f"{mode}={level}" for mode, level in modes.items() if level != getattr(default, mode))
    return f'namespace "{name}" is exempt from Pod Security, and the policy ({said}) will be ignored'


def _counted(names: list[str]) -> str:
    first, more = min(names), len(names) - 1
    if not more:
        return first
    return f"{first} (and {more} other pod{'s' if more > 1 else ''})"
