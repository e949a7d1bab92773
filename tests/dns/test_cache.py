"""Others' answers, kept for their time."""

import pytest

from harness.dnstalk import answered, edns, query, question
from sampan.dns.cache import Cache
from sampan.dns.config import Keeping
from sampan.dns.question import parse_query
from sampan.dns.reply import parse_reply


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


WWW, NOPE = query("www.example.com"), query("nope.example.com")
FOUND = parse_reply(answered(WWW, "1.2.3.4", ttl_s=60))
DENIED = parse_reply(answered(NOPE, ttl_s=40))


def test_kept_for_as_long_as_it_says(clock: Clock) -> None:
    cache = Cache(Keeping(), clock)
    assert cache.find(WWW) is None
    cache.keep(WWW, FOUND)
    cache.keep(NOPE, DENIED)
    clock.now_s += 39
    kept = cache.find(WWW)
    assert kept is not None and cache.age_of(kept) == (39, 21)
    assert cache.find(NOPE) is not None
    clock.now_s += 2
    assert cache.find(NOPE) is None
    clock.now_s += 20
    assert cache.find(WWW) is None
    assert (cache.hits, cache.misses) == ({False: 1, True: 1}, 3)


def test_not_longer_than_the_configuration_allows_and_never_for_a_moment_only(clock: Clock) -> None:
    cache = Cache(Keeping(success_s=30, denial_s=0), clock)
    cache.keep(WWW, FOUND)
    cache.keep(NOPE, DENIED)
    assert cache.find(NOPE) is None
    short = query("short.example.com")
    cache.keep(short, parse_reply(answered(short, "1.2.3.4", ttl_s=1)))
    none = query("none.example.com")
    cache.keep(none, parse_reply(answered(none, "1.2.3.4", ttl_s=0)))
    clock.now_s += 4
    assert cache.find(short) is not None and cache.find(none) is None
    clock.now_s += 27
    assert cache.find(WWW) is None


def test_spelling_makes_no_difference_but_signatures_do(clock: Clock) -> None:
    cache = Cache(Keeping(), clock)
    cache.keep(WWW, FOUND)
    assert cache.find(query("wWw.EXAMPLE.com")) is not None
    assert cache.find(parse_query(question("www.example.com", opt=edns(do=True)))) is None
    assert cache.find(query("www.example.com", 28)) is None


def test_what_was_asked_for_least_recently_goes_first(clock: Clock) -> None:
    cache = Cache(Keeping(success_most=2), clock)
    for name in ("a", "b"):
        cache.keep(query(name), parse_reply(answered(query(name), "1.2.3.4")))
    cache.find(query("a"))
    cache.keep(WWW, FOUND)
    cache.keep(NOPE, DENIED)
    assert [cache.find(query(name)) is None for name in ("a", "b")] == [False, True]
    assert cache.sizes() == {False: 2, True: 1}


def test_a_denial_ends_what_was_found_and_the_other_way_round(clock: Clock) -> None:
    cache = Cache(Keeping(), clock)
    for reply in (FOUND, parse_reply(answered(WWW, ttl_s=40)), FOUND):
        cache.keep(WWW, reply)
        kept = cache.find(WWW)
        assert kept is not None and kept.reply is reply


def test_stale_is_better_than_nothing_if_that_is_wanted(clock: Clock) -> None:
    cache = Cache(Keeping(stale_s=100), clock)
    cache.keep(WWW, FOUND)
    clock.now_s += 120
    kept = cache.find(WWW)
    assert kept is not None and cache.is_due(kept) and cache.age_of(kept) == (0, 0)
    clock.now_s += 60
    assert cache.find(WWW) is None


def test_what_is_popular_is_due_before_its_end(clock: Clock) -> None:
    cache = Cache(Keeping(prefetch=2), clock)
    cache.keep(WWW, FOUND)
    clock.now_s += 55
    first, second = cache.find(WWW), None
    assert first is not None and not cache.is_due(first)
    second = cache.find(WWW)
    assert second is not None and cache.is_due(second)
