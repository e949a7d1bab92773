"""Questions about the rest of the world: which servers are asked, in which order, and what is remembered.

The same question of several askers goes out once. A server that was silent is asked last for a while. A
question that comes back to us from a server would only wait for itself: it joins the one that is under way,
and ends with it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from sampan.api.prometheus import Histogram
from sampan.dns import upstream
from sampan.dns.cache import Cache, Kept, key_of
from sampan.dns.config import Forward, Keeping
from sampan.dns.question import Query
from sampan.dns.reply import Reply
from sampan.dns.resolvers import Resolvers
from sampan.dns.upstream import Spoilt, Upstream
from sampan.dns.wire import NOTIMP, REFUSED, SERVFAIL, Malformed

TRY_S = 2.0
ALL_TRIES_S = 4.5
"""Within the five seconds after which a resolver asks again."""
SHUNNED_S = 10.0


class Unanswered(Exception):
    """No server answered in time, or there is none to ask."""


class Overloaded(Exception):
    """As many questions as may be are under way."""


class Forwarder:
    """Asks as one `forward` line says."""

    def __init__(
        self,
        plan: Forward,
        keeping: Keeping | None,
        *,
        own: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan = plan
        self.cache = Cache(keeping, clock) if keeping else None
        self._clock = clock
        self._own = frozenset(own)
        self._files = [Resolvers(path, exclude=own) for path in plan.files]
        self._under_way: dict[object, asyncio.Task[Reply]] = {}
        self._turn = 0
        self._shunned: dict[Upstream, float] = {}
        self._flat: set[Upstream] = set()
        """Servers that do not keep letter case."""
        self.loops: set[Upstream] = set()
        """Servers that ask us what we ask them."""
        self.asked: Counter[Upstream] = Counter()
        self.rejected = 0
        self.times: dict[tuple[Upstream, int], Histogram] = {}

    def kept(self, query: Query) -> Kept | None:
        """An answer at hand; one that is due is fetched anew meanwhile."""
        if self.cache is None:
            return None
        kept = self.cache.find(query)
        if kept is not None and self.cache.is_due(kept) and len(self._under_way) < self.plan.most:
            self._start(query)
        return kept

    async def ask(self, query: Query) -> Reply:
        """Raises Unanswered, Overloaded."""
        task = self._under_way.get(key_of(query))
        if task is None:
            if len(self._under_way) >= self.plan.most:
                self.rejected += 1
                raise Overloaded
            task = self._start(query)
        # Others may wait for the same answer: who goes away takes nothing from them.
        return await asyncio.shield(task)

    def servers(self) -> Sequence[Upstream]:
        """All there are, in the order in which they are asked now."""
        found = [*self.plan.upstreams, *(server for file in self._files for server in file.servers())]
        found = [server for server in dict.fromkeys(found) if server not in self.loops]
        if self.plan.policy == "random":
            random.shuffle(found)
        elif self.plan.policy == "round_robin" and found:
            self._turn = (self._turn + 1) % len(found)
            found = found[self._turn :] + found[: self._turn]
        now_s = self._clock()
        return sorted(found, key=lambda server: self._shunned.get(server, 0) > now_s)

    def close(self) -> None:
        for task in self._under_way.values():
            task.cancel()

    def _start(self, query: Query) -> asyncio.Task[Reply]:
        key = key_of(query)
        if (task := self._under_way.get(key)) is not None:
            return task
        task = asyncio.create_task(self._ask(query), name="dns-forward")
        self._under_way[key] = task
        task.add_done_callback(lambda done: self._ended(key, done))
        return task

    def _ended(self, key: object, task: asyncio.Task[Reply]) -> None:
        self._under_way.pop(key, None)
        if not task.cancelled():
            task.exception()  # nobody may have waited for it

    async def _ask(self, query: Query) -> Reply:
        last: Reply | None = None
        try:
            async with asyncio.timeout(ALL_TRIES_S):
                for server in [*(servers := self.servers()), *servers]:
                    reply = await self._try(server, query)
                    if reply is None:
                        continue
                    last = reply
                    if reply.rcode not in (SERVFAIL, NOTIMP, REFUSED):
                        break
                    if len(servers) == 1 or server is servers[-1]:
                        break
        except TimeoutError:
            pass
        if last is None:
            raise Unanswered
        if self.cache is not None:
            self.cache.keep(query, last)
        return last

    async def _try(self, server: Upstream, query: Query) -> Reply | None:
        begun_s = time.perf_counter()
        self.asked[server] += 1
        try:
            async with asyncio.timeout(TRY_S):
                reply = await self._exchange(server, query)
        except (OSError, EOFError, Malformed):  # TimeoutError is an OSError
            self._shunned[server] = self._clock() + SHUNNED_S
            return None
        self._shunned.pop(server, None)
        times = self.times.get((server, reply.rcode))
        if times is None:
            times = self.times[server, reply.rcode] = Histogram()
        times.observe(time.perf_counter() - begun_s)
        return reply

    async def _exchange(self, server: Upstream, query: Query) -> Reply:
        by_tcp = self.plan.by_tcp
        if server not in self._flat:
            try:
                return await upstream.ask(server, query, by_tcp=by_tcp)
            except Spoilt:
                self._flat.add(server)
        try:
            return await upstream.ask(server, query, by_tcp=by_tcp, spell=False)
        except Spoilt as error:  # capitals where none were sent
            raise Malformed(None, "an answer to another question") from error
