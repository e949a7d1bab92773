"""Bootstrap tokens: what a machine shows that has no certificate yet.

Each is a Secret `bootstrap-token-ID` of type bootstrap.kubernetes.io/token in kube-system; the token is
`ID.SECRET`. One that has expired is no token any more, also before the Secret is gone.
Source: reference/access-authn-authz/bootstrap-tokens.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable

from sampan.api.bootstraptoken import FORM, GROUP_FORM, NAMESPACE, PREFIX, TYPE, entries, expires_at
from sampan.api.objects import Obj
from sampan.api.request import UserInfo
from sampan.api.resources import SECRETS, Resource
from sampan.apiserver.authz import AUTHENTICATED, BOOTSTRAPPERS

Lookup = Callable[[Resource, str, str], "Obj | None"]


class BootstrapTokens:
    """`lookup(resource, namespace, name)` answers live objects."""

    def __init__(self, lookup: Lookup, now: Callable[[], float] = time.time) -> None:
        self._lookup, self._now = lookup, now

    def user(self, token: str) -> UserInfo | None:
        """Whose token it is; None if it is none that is good for authentication."""
        match = re.fullmatch(FORM, token)
        if match is None:
            return None
        token_id, secret = match.groups()
        obj = self._lookup(SECRETS, NAMESPACE, PREFIX + token_id)
        if obj is None or obj.get("type") != TYPE or obj["metadata"].get("deletionTimestamp"):
            return None
        data = entries(obj)
        known = hmac.compare_digest(data.get("token-secret", "").encode(), secret.encode())
        if not known or data.get("token-id") != token_id:
            return None
        expires_s = expires_at(data)
        if expires_s is not None and expires_s <= self._now():
            return None
        if data.get("usage-bootstrap-authentication") != "true":
            return None
        extra = [name.strip() for name in data.get("auth-extra-groups", "").split(",") if name.strip()]
        if not all(re.fullmatch(GROUP_FORM, name) for name in extra):
            return None
        groups = tuple(dict.fromkeys((BOOTSTRAPPERS, *sorted(extra), AUTHENTICATED)))
        return UserInfo(f"system:bootstrap:{token_id}", groups)
