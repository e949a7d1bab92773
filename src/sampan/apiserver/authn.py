"""Who is asking: a client certificate of our CA, a service account's token, or a bootstrap token."""

from __future__ import annotations

from sampan.api import errors
from sampan.api.request import UserInfo
from sampan.apiserver.authz import ANONYMOUS
from sampan.apiserver.bootstraptokens import BootstrapTokens
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.peer import from_certificate
from sampan.apiserver.tokens import InvalidToken, Tokens


class Authenticator:
    def __init__(self, tokens: Tokens, bootstrap_tokens: BootstrapTokens) -> None:
        self._tokens, self._bootstrap_tokens = tokens, bootstrap_tokens

    def user(self, exchange: Exchange) -> UserInfo:
        """The user of a request; ANONYMOUS without credentials, 401 with wrong ones."""
        connection = exchange.connection
        if connection.identity is None:
            connection.identity = from_certificate(connection)
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
