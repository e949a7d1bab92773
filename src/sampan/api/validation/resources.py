"""Rules of `resources`: requests and limits of containers and Pods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sampan.api import names, podspec
from sampan.api.errors import FieldError, duplicate, forbidden_value, invalid_value, required, show
from sampan.api.objects import Obj
from sampan.api.quantity import Quantity, quantity
from sampan.api.validation.check import NOT_NEGATIVE, Errors, complain, dicts, form, unsupported

HUGE_PAGES = "hugepages-"
CONTAINER_RESOURCES = frozenset(("cpu", "memory", "ephemeral-storage"))
POD_RESOURCES = ("cpu", "hugepages-", "memory")
KUBERNETES_DOMAIN = "kubernetes.io/"
_NANO_PER_UNIT = 10**9


def container(path: str, resources: Obj | None, claims: set[str]) -> Errors:
    yield from _requirements(path, resources or {}, container_resource)
    yield from _claims(f"{path}.claims", resources or {}, claims)


def pod(path: str, spec: Obj) -> Errors:
    """Pod-level resources (KEP-2837) of the spec at `path`."""
    at, resources = f"{path}.resources", spec.get("resources")
    if not resources:
        return
    if resources.get("claims") is not None:
        yield forbidden_value(f"{at}.claims", "claims cannot be set for Resources at pod-level")
    yield from _requirements(at, resources, _pod_resource)
    try:
        yield from _enclosing(path, spec)
    except ValueError:
        return  # an amount that is no quantity: it has been named


def _enclosing(path: str, spec: Obj) -> Errors:
    """The Pod's own amounts are no less than those of its containers."""
    whole = podspec.requests({"spec": {**spec, "resources": {}, "overhead": {}}})
    requests, limits = ((spec["resources"].get(which) or {}) for which in ("requests", "limits"))
    for name, text in requests.items():
        if name in whole and whole[name] > podspec.amount(name, text):
            total = podspec.as_quantity(name, whole[name])
            sentence = f"must be greater than or equal to aggregate container requests of {total}"
            yield invalid_value(f"{path}.resources.requests[{name}]", str(quantity(text)), sentence)
    for index, container in dicts(spec, "containers"):
        for name, text in ((container.get("resources") or {}).get("limits") or {}).items():
            if name in limits and quantity(text) > (most := quantity(limits[name])):
                at = f"{path}.containers[{index}].resources.limits[{name}]"
                sentence = f"must be less than or equal to pod limits of {most}"
                yield invalid_value(at, str(quantity(text)), sentence)


def overhead(path: str, amounts: Obj | None) -> Errors:
    yield from _requirements(path, {"limits": amounts or {}}, container_resource)


def listed(path: str, amounts: Obj | None) -> Errors:
    """A plain map of resources, as nodes report."""
    for name, text in (amounts or {}).items():
        yield from _amount(f"{path}[{name}]", name, text)[1]


def _requirements(path: str, resources: Obj, check_name: Callable[[str, str], Errors]) -> Errors:
    limits: dict[str, Quantity] = {}
    names_seen: set[str] = set()
    for name, text in (resources.get("limits") or {}).items():
        at = f"{path}.limits[{name}]"
        yield from check_name(at, name)
        found, errors = _amount(at, name, text)
        yield from errors
        names_seen.add(name)
        if found is not None:
            limits[name] = found
    for name, text in (resources.get("requests") or {}).items():
        at = f"{path}.requests[{name}]"
        yield from check_name(at, name)
        found, errors = _amount(at, name, text)
        yield from errors
        names_seen.add(name)
        if found is not None:
            yield from _against_limit(path, name, found, limits.get(name))
    if not names_seen & {"cpu", "memory"} and any(name.startswith(HUGE_PAGES) for name in names_seen):
        yield forbidden_value(path, "HugePages require cpu or memory")


def _against_limit(path: str, name: str, request: Quantity, limit: Quantity | None) -> Errors:
    overcommit = overcommits(name)
    if limit is None:
        if not overcommit:
            yield required(f"{path}.limits", "Limit must be set for non overcommitable resources")
    elif not overcommit and request != limit:
        yield invalid_value(f"{path}.requests", str(request), f"must be equal to {name} limit of {limit}")
    elif request > limit:
        sentence = f"must be less than or equal to {name} limit of {limit}"
        yield invalid_value(f"{path}.requests", str(request), sentence)


def overcommits(name: str) -> bool:
    """Whether more may be promised of it than there is: limits above requests."""
    return name in CONTAINER_RESOURCES or (_is_native(name) and not name.startswith(HUGE_PAGES))


def _amount(path: str, name: str, text: Any) -> tuple[Quantity | None, list[FieldError]]:
    try:
        found = quantity(text)
    except ValueError as error:
        return None, [invalid_value(path, text, str(error))]
    errors = []
    if found.nano < 0:
        errors.append(invalid_value(path, str(found), NOT_NEGATIVE))
    if _is_extended(name) and found.nano % _NANO_PER_UNIT:
        errors.append(invalid_value(path, str(found), "must be an integer"))
    if name.startswith(HUGE_PAGES):
        errors += _huge_pages(path, name, found)
    return found, errors


def _huge_pages(path: str, name: str, found: Quantity) -> list[FieldError]:
    try:
        page = quantity(name.removeprefix(HUGE_PAGES))
    except ValueError:
        return []
    if page.nano > 0 and found.nano % page.nano == 0:
        return []
    return [invalid_value(path, str(found), f"{found} is not positive integer multiple of {name}")]


def _is_native(name: str) -> bool:
    return "/" not in name or KUBERNETES_DOMAIN in name


def _is_extended(name: str) -> bool:
    """A resource of somebody's devices: `example.com/gpu`; counted in whole pieces."""
    return not _is_native(name) and not name.startswith("requests.")


def container_resource(path: str, name: str) -> Errors:
    complaints = names.qualified_name(name)
    yield from complain(path, name, complaints)
    if complaints:
        return
    standard = name in CONTAINER_RESOURCES or name.startswith(HUGE_PAGES)
    if "/" not in name and not standard:
        if name not in ("storage", "pods"):
            yield invalid_value(path, name, "must be a standard resource type or fully qualified")
        yield invalid_value(path, name, "must be a standard resource for containers")
    elif "/" in name and not _is_native(name) and not _is_extended(name):
        yield invalid_value(path, name, "doesn't follow extended resource name standard")


def _pod_resource(path: str, name: str) -> Errors:
    complaints = names.qualified_name(name)
    yield from complain(path, name, complaints)
    if not complaints and name not in POD_RESOURCES and not name.startswith(HUGE_PAGES):
        yield unsupported(path, name, POD_RESOURCES)


def _claims(path: str, resources: Obj, known: set[str]) -> Errors:
    seen = set()
    for index, claim in dicts(resources, "claims"):
        at, name, request = f"{path}[{index}]", claim.get("name"), claim.get("request")
        if not name:
            yield required(at)
            continue
        key = f"{name}/{request}" if request else name
        if request:
            yield from form(f"{at}.request", request, names.dns_label)
        if key in seen or name in seen:
            yield duplicate(at, key)
        seen.add(key)
        if name not in known:
            choice = f": {', '.join(sorted(known))}" if known else " which is empty"
            detail = f"must be one of the names in pod.spec.resourceClaims{choice}"
            yield FieldError(at, "FieldValueNotFound", f"Not found: {show(name)}: {detail}")
