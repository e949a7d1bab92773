"""Detached JSON Web Signatures with a shared secret: how who knows a token can trust cluster-info.

Source: RFC 7515, appendix F; reference/access-authn-authz/bootstrap-tokens, "ConfigMap Signing".
"""

from __future__ import annotations

import base64
import hashlib
import hmac

_HEADER = '{{"alg":"HS256","kid":"{}"}}'


def sign(content: str, token_id: str, token_secret: str) -> str:
    """`HEADER..SIGNATURE`: the content in the middle is left out."""
    head = _b64(_HEADER.format(token_id).encode())
    return f"{head}..{_b64(_mac(head, content, token_secret))}"


def verified(signature: str, content: str, token_id: str, token_secret: str) -> bool:
    """Whether somebody who knows the token has signed exactly this."""
    return hmac.compare_digest(signature.encode(), sign(content, token_id, token_secret).encode())


def _mac(head: str, content: str, token_secret: str) -> bytes:
    signed = f"{head}.{_b64(content.encode())}"
    return hmac.new(token_secret.encode(), signed.encode(), hashlib.sha256).digest()


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
