"""Service-account tokens: JWTs (ES256) bound to an account and, where asked, to a Pod, Secret or Node.

A token is good while its signature, audience and time are right and everything it is bound to still exists
with the uid it had. Source: reference/access-authn-authz/service-accounts-admin, KEP-1205, KEP-4193.
"""

from __future__ import annotations

import base64
import hashlib
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from sampan.api import clock, errors
from sampan.api.objects import Obj
from sampan.api.request import UserInfo
from sampan.api.resources import NODES, PODS, SECRETS, SERVICE_ACCOUNTS, Resource
from sampan.apiserver import es256
from sampan.apiserver.authz import AUTHENTICATED, MASTERS, NODES_GROUP
from sampan.apiserver.es256 import COORDINATE_BYTES, Key
from sampan.apiserver.registry.hooks import Call

MIN_LIFETIME_S, MAX_LIFETIME_S, DEFAULT_LIFETIME_S = 600, 1 << 32, 3600
# The lifetime that token volumes ask for is honoured for a year, for clients that read their token once;
# `warnafter` marks the time asked for.
VOLUME_LIFETIME_S, EXTENDED_LIFETIME_S = 3607, 365 * 24 * 3600
_CLAIM = "kubernetes.io"
_BOUND_KINDS = {"Pod": PODS, "Secret": SECRETS, "Node": NODES}
_EXTRA = "authentication.kubernetes.io"
_REMEMBERED = 4096

Lookup = Callable[[Resource, str, str], "Obj | None"]


class InvalidToken(Exception):
    """Why a token is refused."""


class Tokens:
    """Signs and checks. `lookup(resource, namespace, name)` answers live objects."""

    def __init__(self, key_file: Path, issuer: str, lookup: Lookup) -> None:
        self.issuer = issuer
        self._key_file = key_file
        self._lookup = lookup
        self._key: Key | None = None
        self._key_id = ""
        self._verified: OrderedDict[str, Obj] = OrderedDict()  # tokens whose signature has been checked

    def issue(self, call: Call, body: Obj) -> Obj:
        """Answers a TokenRequest on serviceaccounts/NAME/token."""
        namespace, name = call.request.namespace, call.request.name
        account = self._lookup(SERVICE_ACCOUNTS, namespace, name)
        if account is None:
            raise errors.not_found(SERVICE_ACCOUNTS, name)
        spec = body.setdefault("spec", {})
        lifetime = spec.get("expirationSeconds") or DEFAULT_LIFETIME_S
        audiences = spec.get("audiences") or [self.issuer]
        if lifetime < MIN_LIFETIME_S:
            kind = Resource("authentication.k8s.io", "v1", "TokenRequest", "tokenrequests", "", True)
            why = "may not specify a duration less than 10 minutes"
            broken = errors.invalid_value("spec.expirationSeconds", lifetime, why)
            raise errors.invalid(kind, "", [broken])
        lifetime = min(lifetime, MAX_LIFETIME_S)
        bound = self._bound(namespace, account, spec.get("boundObjectRef"))
        _check_node(call, name, bound)
        now = int(time.time())
        extended = lifetime == VOLUME_LIFETIME_S and "pod" in bound and audiences == [self.issuer]
        private: Obj = {
            "namespace": namespace,
            "serviceaccount": {"name": name, "uid": account["metadata"]["uid"]},
            **bound,
        }
        if extended:
            private["warnafter"] = now + lifetime
        claims = {
            "aud": audiences,
            "exp": now + (EXTENDED_LIFETIME_S if extended else lifetime),
            "iat": now,
            "iss": self.issuer,
            "jti": str(uuid.uuid4()),
            _CLAIM: private,
            "nbf": now,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        spec["audiences"], spec["expirationSeconds"] = audiences, lifetime
        status = {"token": self.sign(claims), "expirationTimestamp": clock.format_time(now + lifetime)}
        fields = {"name": name, "namespace": namespace, "creationTimestamp": clock.format_time(now)}
        answer: Obj = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"}
        return {**answer, "metadata": fields, "spec": spec, "status": status}

    def authenticate(self, token: str, audiences: Sequence[str] = ()) -> tuple[UserInfo, list[str]]:
        """The account of a token and the audiences it is good for; raises InvalidToken."""
        claims = self._claims(token)
        now = time.time()
        if claims.get("iss") != self.issuer:
            raise InvalidToken("unknown issuer")
        if now > claims.get("exp", 0) + 10 or now + 60 < claims.get("nbf", 0):
            raise InvalidToken("service account token has expired or is not valid yet")
        good = [name for name in audiences or [self.issuer] if name in claims.get("aud", ())]
        if not good:
            raise InvalidToken(f"token audiences {claims.get('aud')} do not contain {list(audiences)}")
        return self._user(claims), good

    def sign(self, claims: Obj) -> str:
        key = self._private_key()
        head = _b64(orjson.dumps({"alg": "ES256", "kid": self._key_id}))
        signed = f"{head}.{_b64(orjson.dumps(claims))}"
        return f"{signed}.{_b64(key.sign(signed.encode()))}"

    def key_set(self) -> Obj:
        """The public key as a JSON Web Key Set (RFC 7517)."""
        public = self._private_key().public
        key = {
            "use": "sig",
            "kty": "EC",
            "kid": self._key_id,
            "crv": "P-256",
            "alg": "ES256",
            "x": _b64(public[-2 * COORDINATE_BYTES : -COORDINATE_BYTES]),
            "y": _b64(public[-COORDINATE_BYTES:]),
        }
        return {"keys": [key]}

    def _bound(self, namespace: str, account: Obj, reference: Obj | None) -> Obj:
        if not reference:
            return {}
        kind, name = reference.get("kind", ""), reference.get("name", "")
        resource = _BOUND_KINDS.get(kind)
        if resource is None:
            raise errors.bad_request(f"cannot bind token for serviceaccount to kind {kind}")
        obj = self._lookup(resource, namespace if resource.namespaced else "", name)
        if obj is None:
            raise errors.not_found(resource, name)
        uid = obj["metadata"]["uid"]
        if reference.get("uid") and reference["uid"] != uid:
            why = (
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record"
            )
            raise errors.conflict(resource, name, why)
        bound: Obj = {kind.lower(): {"name": name, "uid": uid}}
        if kind == "Pod":
            account_name = obj["spec"].get("serviceAccountName", "default")
            if account_name != account["metadata"]["name"]:
                raise errors.bad_request(
                    "cannot bind token for serviceaccount "
                    f"{account['metadata']['name']!r} to pod running with different serviceaccount name."
                )
            if node_name := obj["spec"].get("nodeName"):
                node = self._lookup(NODES, "", node_name)
                bound["node"] = {"name": node_name}
                if node is not None:
                    bound["node"]["uid"] = node["metadata"]["uid"]
        return bound

    def _user(self, claims: Obj) -> UserInfo:
        private = claims.get(_CLAIM) or {}
        namespace = private.get("namespace", "")
        said = private.get("serviceaccount") or {}
        account = self._live(SERVICE_ACCOUNTS, namespace, said, "service account")
        extra = {f"{_EXTRA}/credential-id": (f"JTI={claims.get('jti', '')}",)}
        for kind, resource in _BOUND_KINDS.items():
            reference = private.get(kind.lower())
            if not reference:
                continue
            where = namespace if resource.namespaced else ""
            if kind != "Node" or "pod" not in private:  # a Pod's token outlives its node's object
                self._live(resource, where, reference, kind.lower())
            if kind in ("Pod", "Node"):
                extra[f"{_EXTRA}/{kind.lower()}-name"] = (reference["name"],)
                if "uid" in reference:
                    extra[f"{_EXTRA}/{kind.lower()}-uid"] = (reference["uid"],)
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
        name = f"system:serviceaccount:{namespace}:{said['name']}"
        return UserInfo(name, groups, account["metadata"]["uid"], extra)

    def _live(self, resource: Resource, namespace: str, reference: Obj, what: str) -> Obj:
        obj = self._lookup(resource, namespace, reference.get("name", ""))
        if obj is None or obj["metadata"]["uid"] != reference.get("uid"):
            raise InvalidToken(f"{what} {namespace}/{reference.get('name')} has been deleted")
        return obj

    def _claims(self, token: str) -> Obj:
        known = self._verified.get(token)
        if known is not None:
            self._verified.move_to_end(token)
            return known
        claims = self._verify(token)
        self._verified[token] = claims
        if len(self._verified) > _REMEMBERED:
            self._verified.popitem(last=False)
        return claims

    def _verify(self, token: str) -> Obj:
        try:
            head, payload, signature = token.split(".")
            header: Any = orjson.loads(_unb64(head))
            good = self._private_key().is_signed(f"{head}.{payload}".encode(), _unb64(signature))
            if header.get("alg") != "ES256" or not good:
                raise InvalidToken("not a token of this server")
            claims: Any = orjson.loads(_unb64(payload))
        except (ValueError, AttributeError):
            raise InvalidToken("not a token of this server") from None
        if not isinstance(claims, dict):
            raise InvalidToken("not a token of this server")
        return claims

    def _private_key(self) -> Key:
        if self._key is None:
            self._key = es256.load(self._key_file.read_bytes())
            self._key_id = _b64(hashlib.sha256(self._key.public).digest())
        return self._key


def _check_node(call: Call, name: str, bound: Obj) -> None:
    """A node gets tokens for its own Pods only: what admission plugin NodeRestriction does upstream."""
    if NODES_GROUP not in call.user.groups or MASTERS in call.user.groups:
        return
    why = ""
    if "pod" not in bound:
        why = "node requested token not bound to a pod"
    elif bound.get("node", {}).get("name") != call.user.name.removeprefix("system:node:"):
        why = "node requested token bound to a pod scheduled on a different node"
    if why:
        raise errors.forbidden(SERVICE_ACCOUNTS, name, why)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
