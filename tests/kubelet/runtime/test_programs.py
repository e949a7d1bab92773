from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from sampan.kubelet.runtime.contract import ContainerSpec
from sampan.kubelet.runtime.programs import PROGRAMS, Process, serve

SPEC = cast(ContainerSpec, SimpleNamespace(env={"A": "1"}))


def process(*argv: str) -> tuple[Process, list[tuple[bytes, bool]]]:
    said: list[tuple[bytes, bool]] = []
    return Process(SPEC, argv, lambda data, error: said.append((data, error))), said


@pytest.mark.parametrize(
    ("argv", "code", "output"),
    [
        (("true",), 0, b""),
        (("false",), 1, b""),
        (("exit", "7"), 7, b""),
        (("echo", "a", "b"), 0, b"a b\n"),
        (("sleep", "0"), 0, b""),
    ],
)
async def test_programs_do_what_their_names_say(argv: tuple[str, ...], code: int, output: bytes) -> None:
    found, said = process(*argv)
    assert await PROGRAMS[argv[0]](found) == code
    assert b"".join(data for data, _ in said) == output


async def test_cat_says_what_it_hears_until_the_end() -> None:
    found, said = process("cat")
    found.stdin.feed_data(b"abc")
    found.stdin.feed_eof()
    assert await PROGRAMS["cat"](found) == 0 and said == [(b"abc", False)]


async def test_a_server_runs_until_somebody_ends_it() -> None:
    running = asyncio.create_task(serve(process("nginx")[0]))
    await asyncio.sleep(0)
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_process_writes_text_and_bytes_to_either_stream() -> None:
    found, said = process("x")
    found.write("out")
    found.write(b"err", error=True)
    assert said == [(b"out", False), (b"err", True)] and found.env == {"A": "1"}
