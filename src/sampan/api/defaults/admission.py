"""Defaults of group admissionregistration.k8s.io."""

from __future__ import annotations

from sampan.api.defaults.fill import entries, fill, fill_blank, section
from sampan.api.objects import Obj


def validating_webhooks(obj: Obj) -> None:
    for webhook in entries(obj, "webhooks"):
        fill_blank(webhook, "failurePolicy", "Fail")
        _match(webhook)
        fill(webhook, "timeoutSeconds", 10)
        _rule_scopes(webhook, "rules")
        client_service(webhook.get("clientConfig"))


def mutating_webhooks(obj: Obj) -> None:
    validating_webhooks(obj)
    for webhook in entries(obj, "webhooks"):
        fill_blank(webhook, "reinvocationPolicy", "Never")


def admission_policy(obj: Obj) -> None:
    spec = section(obj, "spec")
    fill_blank(spec, "failurePolicy", "Fail")
    if spec.get("matchConstraints") is not None:
        _match_resources(spec["matchConstraints"])


def admission_policy_binding(obj: Obj) -> None:
    match = section(obj, "spec").get("matchResources")
    if match is not None:
        _match_resources(match)


def _match_resources(match: Obj) -> None:
    _match(match)
    _rule_scopes(match, "resourceRules")
    _rule_scopes(match, "excludeResourceRules")


def _match(holder: Obj) -> None:
    fill_blank(holder, "matchPolicy", "Equivalent")
    fill(holder, "namespaceSelector", {})
    fill(holder, "objectSelector", {})


def _rule_scopes(holder: Obj, key: str) -> None:
    for rule in entries(holder, key):
        fill_blank(rule, "scope", "*")


def client_service(config: Obj | None) -> None:
    """A webhook's Service is asked at 443 unless told otherwise."""
    if config and config.get("service") is not None:
        fill(config["service"], "port", 443)
