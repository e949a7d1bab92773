"""kill -9 at any moment: nothing that was acknowledged or shown to a watcher is gone afterwards."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sampan.store.sqlite import SqliteStore

ROUNDS = 20

WRITER = """
import asyncio, os, sys
from sampan.store.contract import Delete, Put
from sampan.store.sqlite import SqliteStore

def report(line):
    os.write(1, line.encode() + b"\\n")     # one write(2) per line: a kill leaves whole lines

async def write(store, writer):
    number = 0
    while True:
        key = f"/w/{writer}/{number % 7}"
        value = f"{writer}-{number}".encode()
        revision, _ = await store.txn([Put(key, value), Put(f"/last/{writer}", b"%d" % number)])
        report(f"written {revision} {key} {value.decode()}")
        if number % 5 == 4:
            gone, = await store.txn([Delete(key)])
            report(f"deleted {gone} {key} -")
        number += 1

async def follow(store):
    async for batch in store.watch("/w/", after=store.revision):
        for event in batch:
            verb = "deleted" if event.deleted else "written"
            report(f"{verb} {event.revision} {event.key} {event.value.decode() or '-'}")

async def compact(store):
    while True:
        await asyncio.sleep(0.02)
        await store.compact(max(store.revision - 200, 0))

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    report(f"opened {store.revision} - -")
    await asyncio.gather(follow(store), compact(store), *(write(store, n) for n in range(20)))

asyncio.run(main())
"""


@pytest.mark.slow
async def test_nothing_acknowledged_or_shown_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    chance = random.Random(20)
    known: dict[str, tuple[int, str | None]] = {}
    """Key -> the newest change anybody was told of: revision, value (None: deleted)."""
    newest = 0
    for _ in range(ROUNDS):
        lines = await asyncio.to_thread(_run_and_kill, path, chance.uniform(0.0, 0.25))
        for verb, revision_text, key, value in lines:
            revision = int(revision_text)
            newest = max(newest, revision)
            if verb == "opened":
                assert revision >= newest, "the revision went back"
            elif revision > known.get(key, (0, None))[0]:
                known[key] = (revision, value if verb == "written" else None)
        await _check(path, known, newest)
    assert newest > 1000, "the writers did not get to write"


def _run_and_kill(path: Path, after_s: float) -> list[list[str]]:
    """What the writer told before it was killed, some time after it had opened the store."""
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        opened = writer.stdout.readline()
        killer = threading.Timer(after_s, writer.kill)
        killer.start()
        told = writer.stdout.read()
        killer.join()
    assert writer.returncode == -signal.SIGKILL
    return [line.split(" ") for line in (opened + told).decode().splitlines()]


async def _check(path: Path, known: dict[str, tuple[int, str | None]], newest: int) -> None:
    store = SqliteStore(path)
    await store.open()
    try:
        assert store.revision >= newest
        for key, (revision, value) in known.items():
            found = await store.get(key)
            if found is None:
                # Deleted, by the change that was told or by a later one that nobody was told of.
                assert value is None or store.revision > revision
            elif found.revision == revision:
                assert found.value.decode() == value
            else:
                assert found.revision > revision
        # A transaction is whole: what a writer says was its last is what it wrote last.
        for item in (await store.list("/last/")).items:
            writer, number = item.key.rpartition("/")[2], item.value.decode()
            written = await store.get(f"/w/{writer}/{int(number) % 7}")
            if int(number) % 5 == 4:
                assert written is None or written.value.decode() == f"{writer}-{number}"
            else:
                assert written is not None and written.value.decode() == f"{writer}-{number}"
    finally:
        await store.close()
