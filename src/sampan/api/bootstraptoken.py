"""What a bootstrap token is: the form of its text, and the Secret that keeps it.

Source: reference/access-authn-authz/bootstrap-tokens, "Token format" and "Bootstrap token Secret format".
"""

from __future__ import annotations

import base64
import secrets
import string
from collections.abc import Mapping, Sequence

from sampan.api import clock
from sampan.api.objects import Obj

NAMESPACE = "kube-system"
PREFIX = "bootstrap-token-"
TYPE = "bootstrap.kubernetes.io/token"
FORM = r"([a-z0-9]{6})\.([a-z0-9]{16})"
GROUP_FORM = r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]"
USAGES = ("authentication", "signing")
NODE_GROUP = "system:bootstrappers:sampan:default-node-token"
"""Whose certificate requests are approved without asking anybody."""

_ALPHABET = string.ascii_lowercase + string.digits


def generate() -> str:
    """A new token, as unguessable as its form allows."""
    text = "".join(secrets.choice(_ALPHABET) for _ in range(22))
    return f"{text[:6]}.{text[6:]}"


def secret(
    token: str,
    *,
    expires_s: float | None,
    usages: Sequence[str] = USAGES,
    groups: Sequence[str] = (NODE_GROUP,),
    description: str = "",
) -> Obj:
    """The Secret of a token; `expires_s` is seconds since the epoch, None for one that lasts."""
    token_id, _, token_secret = token.partition(".")
    data = {"token-id": token_id, "token-secret": token_secret}
    if description:
        data["description"] = description
    if expires_s is not None:
        data["expiration"] = clock.format_time(expires_s)
    data |= {f"usage-bootstrap-{usage}": "true" for usage in usages}
    if groups and "authentication" in usages:
        data["auth-extra-groups"] = ",".join(groups)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": PREFIX + token_id, "namespace": NAMESPACE},
        "type": TYPE,
        "data": {name: base64.b64encode(value.encode()).decode() for name, value in data.items()},
    }


def expires_at(data: Mapping[str, str]) -> float | None:
    """Seconds since the epoch, None for never; a time that cannot be read is one that has passed."""
    if not (text := data.get("expiration", "")):
        return None
    try:
        return clock.parse_time(text)
    except ValueError:
        return 0.0


def entries(obj: Obj) -> dict[str, str]:
    """The Secret's data as text; what is no text is left out."""
    found = {}
    for name, value in (obj.get("data") or {}).items():
        try:
            found[name] = base64.b64decode(value).decode()
        except ValueError:
            continue
    return found
