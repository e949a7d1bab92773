"""Finds servers that ask us what we ask them: with such a one every question would go round until it dies.

Each is asked for a name drawn by chance, which nobody else asks for. Who hears that name has found a loop.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import struct
from collections.abc import Callable

from sampan.dns import upstream
from sampan.dns.forward import Forwarder
from sampan.dns.question import Query
from sampan.dns.responder import Responder
from sampan.dns.upstream import Upstream
from sampan.dns.wire import CLASS_IN, HINFO, Malformed, encode_name

log = logging.getLogger(__name__)

PROBE_S = 5.0


async def probe(responder: Responder, found: Callable[[Upstream], None]) -> None:
    """Asks all servers of the blocks that say `loop`; `found` is told of those that are asked no more."""
    for forwarder in responder.probed():
        for server in forwarder.servers():
            await _probe(responder, forwarder, server, found)


async def _probe(
    responder: Responder, forwarder: Forwarder, server: Upstream, found: Callable[[Upstream], None]
) -> None:
    def heard() -> None:
        forwarder.loops.add(server)
        log.warning("dns: %s asks us what we ask it; it is not asked any more", server)
        found(server)

    name = f"{secrets.token_hex(8)}.{secrets.token_hex(8)}"
    question = encode_name(name) + struct.pack("!HH", HINFO, CLASS_IN)
    responder.probes[name] = heard
    try:
        async with asyncio.timeout(PROBE_S):
            await upstream.ask(server, Query(0, 0, name, HINFO, CLASS_IN, question), spell=False)
    except (OSError, EOFError, Malformed, upstream.Spoilt) as error:
        # Nothing is asked of it but that it does not come back.
        log.debug("dns: probe of %s: %r", server, error)
    finally:
        del responder.probes[name]
