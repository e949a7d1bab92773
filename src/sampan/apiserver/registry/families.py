"""Which IP families a Service has, in what order, and how many of its addresses it keeps (pure).

The rules of one cluster are in its `families`: those of its Service ranges, the primary one first. Nothing
is added to or taken from a Service only because the cluster changed: that takes a word of its author's.
Source: concepts/services-networking/dual-stack, KEP-563.
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.errors import FieldError, invalid_value
from sampan.api.objects import Obj
from sampan.api.validation import service as rules

IPV4, IPV6 = "IPv4", "IPv6"
SINGLE, PREFER, REQUIRE = "SingleStack", "PreferDualStack", "RequireDualStack"
HEADLESS = "None"

_SETTLED = ("type", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
_OTHER = {IPV4: IPV6, IPV6: IPV4}


def family_of(address: str) -> str:
    return IPV6 if ":" in address else IPV4


def settle(spec: Obj, old: Obj | None, families: Sequence[str]) -> list[FieldError]:
    """Fills in ipFamilyPolicy and ipFamilies of a Service that is no ExternalName, and drops a second
    address that the policy no longer wants. Answers what is wrong; the spec is of no use then.
    """
    if old is not None and _is_as_before(spec, old):
        return []
    if not spec.get("ipFamilyPolicy"):
        spec["ipFamilyPolicy"] = _policy(spec, old)
    if broken := list(rules.cluster_ips(spec)):
        return broken
    if broken := [*_reductions(spec, old or {}), *_infer_from_addresses(spec, families)]:
        return broken
    if is_headless(spec) and not spec.get("selector"):
        # Nobody routes to these: they may have families that the cluster has not.
        _complete(spec, families[0], extend=True)
        return []
    if broken := _not_configured(spec, families):
        return broken
    _complete(spec, families[0], extend=len(families) == 2)
    return []


def is_headless(spec: Obj) -> bool:
    return (spec.get("clusterIPs") or [spec.get("clusterIP")])[0] == HEADLESS


def _is_as_before(spec: Obj, old: Obj) -> bool:
    """No word about type, addresses or families, and all of it settled: what is, stays."""
    if not (old.get("ipFamilies") and old.get("ipFamilyPolicy")):
        return False
    return all((spec.get(field) or None) == (old.get(field) or None) for field in _SETTLED)


def _policy(spec: Obj, old: Obj | None) -> str:
    if old is not None and old.get("ipFamilyPolicy"):
        return str(old["ipFamilyPolicy"])
    if spec.get("clusterIP") == HEADLESS and not spec.get("selector"):
        return REQUIRE
    return SINGLE


def _reductions(spec: Obj, old: Obj) -> list[FieldError]:
    """SingleStack gives back what is second, if nothing else was said; other policies may not."""
    policy = spec["ipFamilyPolicy"]
    broken = []
    for field, several, one in (
        ("clusterIPs", "cluster IPs", "cluster IP"),
        ("ipFamilies", "IP families", "IP family"),
    ):
        now, was = _listed(spec, field), _listed(old, field)
        if policy == SINGLE:
            if old and now == was and len(now) > 1:
                spec[field] = now = now[:1]
            if len(now) == 2:
                broken.append(
                    _wrong_policy(spec, f"'{REQUIRE}' or '{PREFER}' when multiple {several} are specified")
                )
        elif 0 < len(now) < len(was):
            broken.append(_wrong_policy(spec, f"'{SINGLE}' to release the secondary {one}"))
    return broken


def _wrong_policy(spec: Obj, rest: str) -> FieldError:
    return invalid_value("spec.ipFamilyPolicy", spec["ipFamilyPolicy"], f"must be {rest}")


def _infer_from_addresses(spec: Obj, families: Sequence[str]) -> list[FieldError]:
    """An address that was asked for says its family."""
    addresses = _listed(spec, "clusterIPs")
    if addresses[:1] == [HEADLESS]:
        return []
    broken = []
    for index in range(len(_listed(spec, "ipFamilies")), len(addresses)):
        family = family_of(addresses[index])
        if family not in families:
            why = f"{family} is not configured on this cluster"
            broken.append(invalid_value(f"spec.clusterIPs[{index}]", addresses, why))
        else:
            spec["ipFamilies"] = [*_listed(spec, "ipFamilies"), family]
    return broken


def _not_configured(spec: Obj, families: Sequence[str]) -> list[FieldError]:
    broken = []
    if spec["ipFamilyPolicy"] == REQUIRE and len(families) < 2:
        why = "this cluster is not configured for dual-stack services"
        broken.append(invalid_value("spec.ipFamilyPolicy", REQUIRE, why))
    for index, family in enumerate(_listed(spec, "ipFamilies")):
        if family not in families:
            why = "not configured on this cluster"
            broken.append(invalid_value(f"spec.ipFamilies[{index}]", family, why))
    return broken


def _complete(spec: Obj, primary: str, *, extend: bool) -> None:
    chosen = _listed(spec, "ipFamilies") or [primary]
    if extend and len(chosen) == 1 and spec["ipFamilyPolicy"] != SINGLE:
        chosen = [*chosen, _OTHER[chosen[0]]]
    spec["ipFamilies"] = chosen


def _listed(spec: Obj, field: str) -> list[str]:
    return list(spec.get(field) or ())
