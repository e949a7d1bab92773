"""What every node runs can be put together without an API server, a store or a scheduler in sight."""

import subprocess
import sys

MAY_NOT = ("apiserver.server", "apiserver.pipeline", "store", "scheduler", "controllers", "api.openapi")


def test_an_agent_loads_no_part_of_the_control_plane() -> None:
    code = (
        "import sys, sampan.cli.agent; print(*(name for name in sys.modules if name.startswith('sampan.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = [name.removeprefix("sampan.") for name in done.stdout.split()]
    assert "cli.nodeparts" in loaded
    assert [name for name in loaded if name.startswith(MAY_NOT)] == []


def test_nor_the_library_of_certificates() -> None:
    code = "import sys, sampan.cli.agent; print('cryptography' in sys.modules, 'yaml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
