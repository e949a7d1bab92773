from __future__ import annotations

from pathlib import Path

import pytest

from sampan.kubelet.runtime.contract import RuntimeFault
from sampan.kubelet.runtime.oci import TRIES, Crun


@pytest.mark.parametrize("shots", [1, TRIES])
async def test_a_command_that_is_shot_is_run_again(tmp_path: Path, shots: int) -> None:
    tool, runs = tmp_path / "crun", tmp_path / "runs"
    tool.write_text(
        f"#!/bin/sh\necho $2 >> {runs}\n[ $(wc -l < {runs}) -gt {shots} ] || kill -9 $$\nexit 0\n"
    )
    tool.chmod(0o755)
    (tmp_path / "c1").mkdir()
    crun = Crun(str(tool), tmp_path)
    if shots < TRIES:
        await crun.delete("c1")
    else:
        with pytest.raises(RuntimeFault, match="crun delete failed"):
            await crun.delete("c1")
    assert len(runs.read_text().splitlines()) == min(shots + 1, TRIES)
