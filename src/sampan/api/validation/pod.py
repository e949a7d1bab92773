"""Rules of new Pods, of Pod templates, and of bindings."""

from __future__ import annotations

from sampan.api import apparmor, names
from sampan.api.errors import duplicate, forbidden_value, invalid_value, required, too_long
from sampan.api.objects import Obj
from sampan.api.validation import containers, labels, resources, scheduling, security, volumes, windows
from sampan.api.validation.check import (
    Errors,
    between,
    complain,
    dicts,
    form,
    one_of,
    one_of_if_set,
)

DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
RESTART_POLICIES = ("Always", "OnFailure", "Never")
MAX_INT32 = 2**31 - 1
MAX_HOSTNAME = 64
MAX_NAMESERVERS, MAX_SEARCHES, MAX_SEARCH_LENGTH = 3, 32, 2048
MIRROR = "kubernetes.io/config.mirror"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


# --- new Pods and templates ---------------------------------------------------------------------------------


def create(pod: Obj) -> Errors:
    spec = pod.get("spec") or {}
    yield from whole(pod)
    if spec.get("ephemeralContainers"):
        yield forbidden_value("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        yield forbidden_value("spec.nodeName", "cannot be set until all schedulingGates have been cleared")


def whole(pod: Obj) -> Errors:
    spec = pod.get("spec") or {}
    yield from _annotations(pod)
    yield from pod_spec("spec", spec, of_pod=True)
    yield from volumes.claim_names("spec.volumes", spec, (pod.get("metadata") or {}).get("name") or "")
    if not spec.get("serviceAccountName"):
        yield from _no_tokens(spec)
    for key in ("containers", "initContainers"):
        for index, container in dicts(spec, key):
            yield from containers.trimmed_image(f"spec.{key}[{index}]", container)


def _annotations(pod: Obj) -> Errors:
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    if MIRROR in annotations and not (pod.get("spec") or {}).get("nodeName"):
        sentence = "must set spec.nodeName if mirror pod annotation is set"
        yield invalid_value(f"metadata.annotations[{MIRROR}]", annotations[MIRROR], sentence)
    cost = annotations.get(DELETION_COST)
    if cost is not None and not _is_int32(cost):
        yield invalid_value(f"metadata.annotations[{DELETION_COST}]", cost, "must be a 32bit integer")
    yield from apparmor.wrong(pod)


def _is_int32(text: str) -> bool:
    digits = text.removeprefix("-").removeprefix("+")
    return digits.isascii() and digits.isdigit() and len(digits) <= 10 and abs(int(digits)) <= MAX_INT32


def _no_tokens(spec: Obj) -> Errors:
    for index, volume in dicts(spec, "volumes"):
        for place, source in dicts(volume.get("projected"), "sources"):
            if source.get("serviceAccountToken") is not None:
                at = f"spec.volumes[{index}].projected.sources[{place}].serviceAccountToken"
                yield forbidden_value(at, "must not be specified when serviceAccountName is not set")


def template(path: str, obj: Obj) -> Errors:
    """A `PodTemplateSpec`."""
    metadata = obj.get("metadata") or {}
    yield from labels.label_map(f"{path}.labels", metadata.get("labels"))
    yield from labels.annotation_map(f"{path}.annotations", metadata.get("annotations"))
    spec = obj.get("spec") or {}
    yield from pod_spec(f"{path}.spec", spec)
    if spec.get("ephemeralContainers"):
        sentence = "ephemeral containers not allowed in pod template"
        yield forbidden_value(f"{path}.spec.ephemeralContainers", sentence)


def pod_template(obj: Obj) -> Errors:
    """Kind PodTemplate."""
    return template("template", obj.get("template") or {})


def pod_template_update(new: Obj, old: Obj) -> Errors:
    return pod_template(new)


def pod_spec(path: str, spec: Obj, *, of_pod: bool = False) -> Errors:
    """`of_pod`: in a Pod a host port must be the container port by now, in a template it may be open."""
    if spec.get("terminationGracePeriodSeconds") is None:
        yield required(f"{path}.terminationGracePeriodSeconds")
    yield from volumes.volumes(f"{path}.volumes", spec)
    yield from _resource_claims(f"{path}.resourceClaims", spec)
    yield from containers.all_lists(path, spec)
    yield from resources.pod(path, spec)
    yield from _host_network(f"{path}.containers", spec, of_pod)
    yield from one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), RESTART_POLICIES)
    yield from one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), DNS_POLICIES)
    yield from labels.label_map(f"{path}.nodeSelector", spec.get("nodeSelector"))
    yield from security.pod(f"{path}.securityContext", spec)
    yield from scheduling.affinity(f"{path}.affinity", spec.get("affinity"))
    yield from _dns_config(f"{path}.dnsConfig", spec)
    for index, gate in dicts(spec, "readinessGates"):
        at = f"{path}.readinessGates[{index}].conditionType"
        yield from form(at, gate.get("conditionType") or "", names.qualified_name)
    yield from scheduling.gates(f"{path}.schedulingGates", spec)
    yield from scheduling.spread(f"{path}.topologySpreadConstraints", spec)
    yield from security.host_users(path, spec)
    yield from _names(path, spec)
    yield from _hostname_override(path, spec)
    yield from between(f"{path}.activeDeadlineSeconds", spec.get("activeDeadlineSeconds"), 1, MAX_INT32)
    yield from scheduling.tolerations(f"{path}.tolerations", spec)
    yield from _host_aliases(f"{path}.hostAliases", spec)
    choices = ("PreemptLowerPriority", "Never")
    yield from one_of_if_set(f"{path}.preemptionPolicy", spec.get("preemptionPolicy"), choices)
    yield from resources.overhead(f"{path}.overhead", spec.get("overhead"))
    system = spec.get("os")
    if system is not None:
        yield from one_of(f"{path}.os.name", system.get("name"), ("linux", "windows"))
    yield from windows.host_process(path, spec)
    yield from windows.of_system(path, spec)


# field -> form of the names a Pod spec refers to or takes
_NAMES = {
    "serviceAccountName": names.dns_subdomain,
    "nodeName": names.dns_subdomain,
    "hostname": names.dns_label,
    "subdomain": names.dns_label,
    "priorityClassName": names.dns_subdomain,
    "runtimeClassName": names.dns_subdomain,
}


def _names(path: str, spec: Obj) -> Errors:
    for field, check in _NAMES.items():
        if spec.get(field):
            yield from form(f"{path}.{field}", spec[field], check)


def _hostname_override(path: str, spec: Obj) -> Errors:
    """KEP-4762."""
    name = spec.get("hostnameOverride")
    if name is None:
        return
    at = f"{path}.hostnameOverride"
    if len(name) > MAX_HOSTNAME:
        yield too_long(at, MAX_HOSTNAME)
    else:
        yield from form(at, name, names.dns_subdomain)
    if spec.get("setHostnameAsFQDN"):
        yield forbidden_value(at, "may not be set when `setHostnameAsFQDN` is true")
    if spec.get("hostNetwork"):
        yield forbidden_value(at, "may not be set when `hostNetwork` is true")


def _host_network(path: str, spec: Obj, of_pod: bool) -> Errors:
    if not spec.get("hostNetwork"):
        return
    for index, container in dicts(spec, "containers"):
        for place, port in dicts(container, "ports"):
            host_port = port.get("hostPort") or 0
            if (of_pod or host_port) and host_port != (port.get("containerPort") or 0):
                sentence = "must match `containerPort` when `hostNetwork` is true"
                yield invalid_value(f"{path}[{index}].ports[{place}].hostPort", host_port, sentence)


def _dns_config(path: str, spec: Obj) -> Errors:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            yield required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not config.get("nameservers"):
            sentence = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            yield required(f"{path}.nameservers", sentence)
            return
    config = config or {}
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > MAX_NAMESERVERS:
        sentence = f"must not have more than {MAX_NAMESERVERS} nameservers"
        yield invalid_value(f"{path}.nameservers", servers, sentence)
    for index, server in enumerate(servers):
        yield from form(f"{path}.nameservers[{index}]", server or "", names.ip)
    if len(searches) > MAX_SEARCHES:
        sentence = f"must not have more than {MAX_SEARCHES} search paths"
        yield invalid_value(f"{path}.searches", searches, sentence)
    if len(" ".join(map(str, searches))) > MAX_SEARCH_LENGTH:
        sentence = (
            f"must not have more than {MAX_SEARCH_LENGTH} characters (including spaces) in the search list"
        )
        yield invalid_value(f"{path}.searches", searches, sentence)
    for index, search in enumerate(searches):
        # Since 1.34 a lone dot and underscores are welcome.
        if search != ".":
            plain = (search or "").removesuffix(".").replace("_", "a")
            yield from complain(f"{path}.searches[{index}]", search, names.dns_subdomain(plain))
    for index, option in dicts(config, "options"):
        if not option.get("name"):
            yield required(f"{path}.options[{index}]", "must not be empty")


def _host_aliases(path: str, spec: Obj) -> Errors:
    for index, alias in dicts(spec, "hostAliases"):
        yield from form(f"{path}[{index}].ip", alias.get("ip") or "", names.ip)
        for place, hostname in enumerate(alias.get("hostnames") or ()):
            yield from form(f"{path}[{index}].hostnames[{place}]", hostname or "", names.dns_subdomain)


def _resource_claims(path: str, spec: Obj) -> Errors:
    seen = set()
    for index, claim in dicts(spec, "resourceClaims"):
        at, name = f"{path}[{index}]", claim.get("name")
        sources = ("resourceClaimName", "resourceClaimTemplateName")
        given = [source for source in sources if claim.get(source) is not None]
        if not name:
            yield required(f"{at}.name")
        elif name in seen:
            yield duplicate(f"{at}.name", name)
        else:
            yield from form(f"{at}.name", name, names.dns_label)
        seen.add(name)
        if len(given) > 1:
            sentence = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            yield invalid_value(at, claim, sentence)
        if not given:
            sentence = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            yield invalid_value(at, claim, sentence)
        for source in given:
            yield from form(f"{at}.{source}", claim[source], names.dns_subdomain)


# --- binding ------------------------------------------------------------------------------------------------


def binding(obj: Obj) -> Errors:
    """A `Binding`, by which a scheduler gives a Pod its node."""
    target = obj.get("target") or {}
    if target.get("kind"):
        yield from one_of("target.kind", target["kind"], ("Node", "<empty>"))
    if not target.get("name"):
        yield required("target.name")
