"""Channels of a WebSocket: the first byte of each message is the channel's number, the rest its bytes.

The `base64` forms are for clients that can send text only: there the number is a digit. The version says how
the end of a command is told, see `terminal`. Source: k8s.io/apimachinery, wsstream; KEP-4006.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from sampan.apiserver.exchange import Exchange
from sampan.apiserver.streams import websocket


@dataclass(frozen=True, slots=True)
class Form:
    version: int
    text: bool = False


FORMS: Mapping[str, Form] = {
    "v5.channel.k8s.io": Form(5),
    "v4.channel.k8s.io": Form(4),
    "v4.base64.channel.k8s.io": Form(4, text=True),
    "channel.k8s.io": Form(1),
    "base64.channel.k8s.io": Form(1, text=True),
    "": Form(1),
}
"""By subprotocol; a client that names none speaks the oldest."""


class Channels:
    """Raises websocket.Closed from `receive` once the client has gone, ConnectionResetError from `send`."""

    def __init__(self, exchange: Exchange) -> None:
        protocol = websocket.choose_protocol(exchange, tuple(FORMS))
        self.form = FORMS[protocol]
        self._socket = websocket.accept(exchange, protocol)

    async def receive(self) -> tuple[int, bytes]:
        """(channel, bytes) of the next message that has a channel."""
        while True:
            message = await self._socket.receive()
            if not message:
                continue
            if not self.form.text:
                return message[0], message[1:]
            try:
                return message[0] - ord("0"), base64.b64decode(message[1:], validate=True)
            except binascii.Error:
                self._socket.close(websocket.PROTOCOL_ERROR)
                raise websocket.Closed from None

    async def send(self, channel: int, data: bytes) -> None:
        if self.form.text:
            await self._socket.send(b"%d" % channel + base64.b64encode(data), text=True)
        else:
            await self._socket.send(bytes((channel,)) + data)

    def gone(self) -> bool:
        return self._socket.gone()

    def close(self) -> None:
        self._socket.close()

    async def finish(self) -> None:
        await self._socket.finish()
