"""From a question's bytes to an answer's: the zone's at once, others' as soon as they are there.

One responder serves one configuration; a new configuration is a new responder.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from sampan.dns.answers import Answers, Entry, encode
from sampan.dns.config import Block, Config
from sampan.dns.forward import Forwarder, Overloaded, Unanswered
from sampan.dns.hostsfile import HostsFile
from sampan.dns.message import build_answer, build_failure
from sampan.dns.metrics import Metrics
from sampan.dns.question import Query, parse_query
from sampan.dns.reply import Reply, answer_records, pass_on
from sampan.dns.wire import (
    AXFR,
    CLASS_ANY,
    CLASS_IN,
    HINFO,
    IXFR,
    NOERROR,
    NXDOMAIN,
    RCODE_NAMES,
    REFUSED,
    SERVFAIL,
    TYPE_NAMES,
    Malformed,
    Record,
    encode_name,
)
from sampan.dns.zone import Answer, Zone

log = logging.getLogger(__name__)

STREAM_BYTES = 0xFFFF


@dataclass(frozen=True, slots=True)
class Asker:
    """`family`: 0 for IPv4, 1 for IPv6."""

    address: object
    proto: Literal["udp", "tcp"] = "udp"
    family: int = 0


Outcome: TypeAlias = bytes | Coroutine[Any, Any, bytes] | None
"""The answer, or something to wait for it with, or nothing if none is due."""


@dataclass(frozen=True, slots=True)
class _Step:
    """What one name needs: an answer, or somebody to ask. `fixed`: it changes with the zone alone."""

    answer: Answer | None = None
    forwarder: Forwarder | None = None
    plugin: str = ""
    fixed: bool = False


class Responder:
    """`own`: the server's addresses, never forwarded to. `zone` tells it what has changed."""

    def __init__(self, config: Config, zone: Zone, metrics: Metrics, *, own: Collection[str] = ()) -> None:
        self.config, self.zone = config, zone
        self.answers = Answers(self._counted)
        self._metrics = metrics
        self._logs = any(block.logs for block in config.blocks)
        self._hosts = {id(block): HostsFile(block.hosts) for block in config.blocks if block.hosts}
        self._forwarders = {
            id(block): [Forwarder(plan, block.keeping, own=own) for plan in block.forwards]
            for block in config.blocks
        }
        self.probes: dict[str, Callable[[], None]] = {}
        """Names that nobody asks for but ourselves, and what to do when somebody does."""
        zone.changed = self.answers.forget

    @property
    def forwarders(self) -> list[Forwarder]:
        return [forwarder for found in self._forwarders.values() for forwarder in found]

    def probed(self) -> list[Forwarder]:
        """Those whose servers are to be tried for whether they ask us back."""
        blocks = (block for block in self.config.blocks if block.finds_loops)
        return [forwarder for block in blocks for forwarder in self._forwarders[id(block)]]

    def retire(self) -> None:
        """Another takes its place: what is under way goes on to its end."""
        self.answers.clear()

    def close(self) -> None:
        self.retire()
        for forwarder in self.forwarders:
            forwarder.close()

    def respond(self, packet: bytes, asker: Asker) -> Outcome:
        begun_s = time.perf_counter()
        try:
            query = parse_query(packet)
        except Malformed as error:
            if error.rcode is None:
                return None
            failure = build_failure(packet, error.rcode)
            self._metrics.count(asker.proto, asker.family, 0, error.rcode, "", (len(packet), len(failure)))
            return failure
        limit = STREAM_BYTES if asker.proto == "tcp" else query.payload
        if (fault := _refusal(query)) is not None:
            return self._said(build_answer(query, fault, authoritative=False), query, asker, "", begun_s)
        step = self._step(query)
        if step.answer is not None and not step.answer.leads_to:
            if step.fixed and asker.proto == "udp":
                entry_reply = self.answers.keep(packet, query, step.answer, limit)
                return self._said(entry_reply, query, asker, step.plugin, begun_s)
            return self._said(encode(query, step.answer, limit), query, asker, step.plugin, begun_s)
        if step.forwarder is not None and (kept := self._kept(step.forwarder, query, limit)) is not None:
            return self._said(kept, query, asker, "cache", begun_s)
        return self._later(step, query, asker, limit, begun_s)

    def count_kept(self) -> None:
        """Brings the numbers up to date with the answers given from what is kept."""
        for entry in self.answers.kept.values():
            self._counted(entry)
            entry.asked = [0, 0]

    def _step(self, query: Query) -> _Step:
        block = self.config.block(query.name)
        if block is None:
            return _Step(Answer(REFUSED))
        for rule in block.rewrites:
            if (other := rule.apply(query.name)) is not None and other != query.name:
                return self._rewritten(query, other)
        return self._plain_step(block, query)

    def _plain_step(self, block: Block, query: Query) -> _Step:
        for template in block.templates:
            if (made := template.answer(query.name, query.type)) is not None:
                return _Step(made, plugin="template")
        if (hosts := self._hosts.get(id(block))) is not None:
            found = hosts.lookup(query.name, query.type)
            if found is None and block.hosts is not None and not block.hosts.falls_through:
                found = Answer(NXDOMAIN)
            if found is not None:
                return _Step(found, plugin="hosts")
        if block.kubernetes is not None and self.zone.holds(query.name):
            fixed = hosts is None and not block.logs
            return _Step(self.zone.lookup(query.name, query.type), plugin="kubernetes", fixed=fixed)
        if query.type == HINFO and (heard := self.probes.get(query.name)) is not None:
            heard()
            return _Step(Answer(NXDOMAIN))
        forwarder = self._forwarder(block, query.name)
        return _Step(forwarder=forwarder, plugin="forward") if forwarder else _Step(Answer(REFUSED))

    def _forwarder(self, block: Block, name: str) -> Forwarder | None:
        """The one with the longest origin, unless the name is one of its exceptions."""
        fitting = [
            forwarder
            for forwarder in self._forwarders[id(block)]
            if _below(name, forwarder.plan.origin)
            and not any(_below(name, other) for other in forwarder.plan.excepted)
        ]
        return max(fitting, key=lambda forwarder: len(forwarder.plan.origin), default=None)

    def _rewritten(self, query: Query, name: str) -> _Step:
        """As if the other name were an alias of this one, which the asker does not get to see."""
        try:
            encode_name(name)
        except ValueError:
            return _Step(Answer(SERVFAIL))
        return _Step(Answer(NOERROR, leads_to=name), plugin="rewrite")

    def _kept(self, forwarder: Forwarder, query: Query, limit: int) -> bytes | None:
        kept = forwarder.kept(query)
        if kept is None or forwarder.cache is None:
            return None
        age_s, ttl_s = forwarder.cache.age_of(kept)
        return pass_on(kept.reply, query, age_s=age_s, ttl_s=ttl_s, limit=limit)

    async def _later(self, step: _Step, query: Query, asker: Asker, limit: int, begun_s: float) -> bytes:
        if step.answer is not None:
            reply = encode(query, await self._chase(query, step.answer), limit)
        else:
            assert step.forwarder is not None
            found = await _asked(step.forwarder, query)
            reply = (
                build_answer(query, found, authoritative=False)
                if isinstance(found, int)
                else pass_on(found, query, limit=limit)
            )
        return self._said(reply, query, asker, step.plugin, begun_s)

    async def _chase(self, query: Query, answer: Answer) -> Answer:
        """The answer with what its target's own servers say appended."""
        target = answer.leads_to
        there = replace(query, name=target, question=encode_name(target) + query.question[-4:])
        block = self.config.block(target)
        step = self._plain_step(block, there) if block else _Step(Answer(REFUSED))
        if step.answer is not None:
            found = step.answer
            if found.leads_to:
                found = await self._chase(there, found)
        else:
            assert step.forwarder is not None
            found = await _records(step.forwarder, there)
        if not answer.answers:  # a rewritten name: what is found bears the name that was asked for
            records = [
                Record(query.name, r.type, r.ttl_s, r.data) if r.name == target else r for r in found.answers
            ]
            return replace(found, answers=records, leads_to="")
        return replace(found, answers=(*answer.answers, *found.answers), leads_to="")

    def _said(self, reply: bytes, query: Query, asker: Asker, plugin: str, begun_s: float) -> bytes:
        """Counts the answer, and writes it down where the configuration says `log`."""
        took_s = time.perf_counter() - begun_s
        sizes = (12 + len(query.question) + 11 * query.edns, len(reply))
        rcode = query.fault or reply[3] & 15
        self._metrics.count(asker.proto, asker.family, query.type, rcode, plugin, sizes)
        self._metrics.took(took_s)
        if self._logs and (block := self.config.block(query.name)) is not None and block.logs:
            kind = TYPE_NAMES.get(query.type, f"TYPE{query.type}")
            what = f"{kind} IN {query.name}. {asker.proto} {sizes[0]} {query.dnssec} {query.payload}"
            code = RCODE_NAMES.get(rcode, str(rcode))
            log.info('%s - %d "%s" %s %d %.9fs', asker.address, query.id, what, code, sizes[1], took_s)
        return reply

    def _counted(self, entry: Entry) -> None:
        for family, times in enumerate(entry.asked):
            if times:
                sizes = (entry.request_bytes, len(entry.wire) + 2)
                self._metrics.count("udp", family, entry.type, entry.rcode, "kubernetes", sizes, times)


async def _asked(forwarder: Forwarder, query: Query) -> Reply | int:
    """The answer, or the code of why there is none."""
    try:
        return await forwarder.ask(query)
    except Overloaded:
        return REFUSED
    except Unanswered:
        return SERVFAIL


async def _records(forwarder: Forwarder, query: Query) -> Answer:
    kept = forwarder.kept(query)
    found = kept.reply if kept is not None else await _asked(forwarder, query)
    if isinstance(found, int):
        return Answer(found)
    try:
        return Answer(found.rcode, answer_records(found))
    except Malformed:
        return Answer(SERVFAIL)


def _refusal(query: Query) -> int | None:
    if query.fault:
        return query.fault
    if query.cls not in (CLASS_IN, CLASS_ANY) or query.type in (AXFR, IXFR):
        return REFUSED
    return None


def _below(name: str, origin: str) -> bool:
    return not origin or name == origin or name.endswith(f".{origin}")
