"""A node's port 10250: its pages under the paths that Prometheus and metrics-server ask a kubelet for.

It is another door to `nodes/NAME/proxy`: the same identities, the same permission, the same answers.
Source: reference/access-authn-authz/kubelet-authn-authz.
"""

from __future__ import annotations

from typing import Protocol

from sampan.apiserver.exchange import Exchange


class Handler(Protocol):
    async def answer(self, exchange: Exchange) -> None: ...


class KubeletPort:
    """Keeps http.Handler; `front` answers."""

    def __init__(self, front: Handler, node_name: str) -> None:
        self._front, self._prefix = front, f"/api/v1/nodes/{node_name}/proxy"

    def takes_body(self, exchange: Exchange) -> bool:
        """Nothing can be sent to a node's pages."""
        return False

    def knows(self, exchange: Exchange) -> bool:
        """No body is read here."""
        return False

    def answer_now(self, exchange: Exchange) -> bool:
        """Pages take a moment to make."""
        return False

    async def answer(self, exchange: Exchange) -> None:
        exchange.raw_path = self._prefix + exchange.raw_path
        exchange.path = self._prefix + exchange.path
        await self._front.answer(exchange)
