import asyncio
import gc
from collections.abc import Iterator

import pytest

from sampan.cli import memory


@pytest.fixture
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_full_collections_look_only_at_what_came_later(collector: None) -> None:
    memory.settle()
    later: list[object] = [[] for _ in range(100)]
    assert len(gc.get_objects()) < 1000 < gc.get_freeze_count()
    assert gc.is_tracked(later)


async def test_tidying_goes_on_until_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "TIDY_S", 0.01)
    task = asyncio.create_task(memory.tidy())
    await asyncio.sleep(0.1)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
