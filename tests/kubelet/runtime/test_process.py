from __future__ import annotations

import asyncio
import os
import signal

import pytest

from sampan.kubelet.runtime.process import Child, ProcessId, Watched, identify, is_ending, run, spawn


async def test_output_and_code_of_a_command() -> None:
    done = await run(["sh", "-c", "echo out; echo err >&2; exit 3"], deadline_s=30)
    assert (done.code, done.output, done.errors) == (3, "out\n", "err\n")
    assert (await run(["sh", "-c", "kill -9 $$"], deadline_s=30)).code == 137


async def test_a_command_that_does_not_end_is_killed() -> None:
    with pytest.raises(TimeoutError):
        await run(["sleep", "100"], deadline_s=0.05)
    with pytest.raises(FileNotFoundError):
        await run(["/nope"], deadline_s=30)


async def test_the_end_of_a_watched_process_is_told_once_with_its_status() -> None:
    child = spawn(["sleep", "100"])
    identity = identify(child.pid)
    assert identity is not None
    ends: list[int | None] = []
    watched = Watched(identity, lambda: ends.append(watched.status))
    watched.signal(signal.SIGTERM)
    for _ in range(3000):
        if ends:
            break
        await asyncio.sleep(0.01)
    assert ends == [143]
    watched.signal(signal.SIGTERM)
    watched.close()
    child.returncode = 0  # its status is taken: Popen must not look for it


async def test_a_pid_that_came_round_is_somebody_else() -> None:
    own = identify(os.getpid())
    assert own is not None
    with pytest.raises(ProcessLookupError):
        Watched(ProcessId(own.pid, own.start_ticks - 1), lambda: None)


async def test_what_has_ended_is_ending_also_while_nobody_waits_for_it() -> None:
    own = identify(os.getpid())
    assert own is not None and not is_ending(own)
    assert is_ending(ProcessId(own.pid, own.start_ticks - 1))
    child = spawn(["sleep", "100"])
    identity = identify(child.pid)
    assert identity is not None and not is_ending(identity)
    child.kill()
    for _ in range(3000):
        if is_ending(identity):
            break
        await asyncio.sleep(0.01)
    assert is_ending(identity), "a zombie"
    child.wait()
    assert is_ending(identity)


async def test_many_can_wait_for_a_child() -> None:
    child = Child(spawn(["sh", "-c", "exit 4"]))
    assert await asyncio.gather(child.wait(), child.wait()) == [4, 4]
    assert not child.running
