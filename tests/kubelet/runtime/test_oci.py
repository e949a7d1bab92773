from __future__ import annotations

import os
from pathlib import Path

import pytest

from sampan.kubelet.runtime.contract import RuntimeFault
from sampan.kubelet.runtime.oci import FIFO, TRIES, OciTool, OciTools


@pytest.mark.parametrize("shots", [1, TRIES])
async def test_a_command_that_is_shot_is_run_again(tmp_path: Path, shots: int) -> None:
    tool, runs = tmp_path / "crun", tmp_path / "runs"
    tool.write_text(
        f"#!/bin/sh\necho $2 >> {runs}\n[ $(wc -l < {runs}) -gt {shots} ] || kill -9 $$\nexit 0\n"
    )
    tool.chmod(0o755)
    (tmp_path / "c1").mkdir()
    crun = OciTool("crun", str(tool), tmp_path)
    if shots < TRIES:
        await crun.delete("c1")
    else:
        with pytest.raises(RuntimeFault, match="crun delete failed"):
            await crun.delete("c1")
    assert len(runs.read_text().splitlines()) == min(shots + 1, TRIES)


def test_crun_is_chosen_before_runc_and_what_is_not_there_is_refused(tmp_path: Path) -> None:
    both = OciTools({"runc": "/sbin/runc", "crun": "/bin/crun", "conmon": "/bin/conmon"}, tmp_path)
    assert (both.names, both.choice(""), both.choice("runc")) == (("crun", "runc"), "crun", "runc")
    assert both.of("") == both.of("crun") == OciTool("crun", "/bin/crun", tmp_path / "crun")
    one = OciTools({"runc": "/sbin/runc"}, tmp_path)
    assert one.choice("") == "runc"
    with pytest.raises(RuntimeFault, match='no runtime for "gvisor" on this node: it has runc'):
        one.choice("gvisor")
    with pytest.raises(RuntimeFault, match="crun, which made this container, is not installed"):
        one.of("crun")


def test_a_container_waits_for_its_start_while_it_holds_the_fifo(tmp_path: Path) -> None:
    (tmp_path / "c1").mkdir()
    crun, fifo = OciTool("crun", "/bin/crun", tmp_path), tmp_path / "c1" / FIFO
    assert not crun.waits("c1", os.getpid())
    os.mkfifo(fifo)
    assert not crun.waits("c1", os.getpid())
    held = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    assert crun.waits("c1", os.getpid())
    fifo.unlink()
    assert not crun.waits("c1", os.getpid())
    os.close(held)
    assert not crun.waits("c1", 0)
