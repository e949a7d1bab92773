"""Who is asking: a client certificate of our CA, a service account's token, or a bootstrap token."""

from __future__ import annotations

import hashlib
import ssl

from sampan.api import errors
from sampan.api.request import UserInfo
from sampan.apiserver.authz import ANONYMOUS, AUTHENTICATED
from sampan.apiserver.bootstraptokens import BootstrapTokens
from sampan.apiserver.connection import Connection
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.tokens import InvalidToken, Tokens


class Authenticator:
    def __init__(self, tokens: Tokens, bootstrap_tokens: BootstrapTokens) -> None:
        self._tokens, self._bootstrap_tokens = tokens, bootstrap_tokens

    def user(self, exchange: Exchange) -> UserInfo:
        """The user of a request; ANONYMOUS without credentials, 401 with wrong ones."""
        connection = exchange.connection
        if connection.identity is None:
            connection.identity = _from_certificate(connection)
        user: UserInfo = connection.identity
        if user is not ANONYMOUS:
            return user
        token = _bearer(exchange)
        if token is None:
            return ANONYMOUS
        if (machine := self._bootstrap_tokens.user(token)) is not None:
            return machine
        try:
            return self._tokens.authenticate(token)[0]
        except InvalidToken:
            raise errors.unauthorized() from None


def _bearer(exchange: Exchange) -> str | None:
    """The token of the Authorization header."""
    scheme, _, token = exchange.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return None


def _from_certificate(connection: Connection) -> UserInfo:
    tls: ssl.SSLObject | None = connection.transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert() if tls is not None else None
    if tls is None or not certificate:
        return ANONYMOUS
    names: dict[str, list[str]] = {}
    subject: tuple[tuple[tuple[str, str], ...], ...] = certificate["subject"]  # type: ignore[assignment]
    for part in subject:
        for field, value in part:
            names.setdefault(field, []).append(value)
    common_name = names.get("commonName", [""])[-1]
    if not common_name:
        return ANONYMOUS
    groups = (*names.get("organizationName", ()), AUTHENTICATED)
    fingerprint = hashlib.sha256(tls.getpeercert(binary_form=True) or b"").hexdigest()
    extra = {"authentication.kubernetes.io/credential-id": (f"X509SHA256={fingerprint}",)}
    return UserInfo(common_name, groups, "", extra)
