"""Variables from files: what is read is what a shell would read, and nothing else is taken."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sampan.kubelet import envfile
from sampan.kubelet.envfile import EnvFileFault, value_of

TEXT = """
  # a comment
   A='x y'
\tB=''
C='one
  two = "2"

# three' # and this is none
D='$A ${A} \\n `id`'
A='later'
"""


@pytest.mark.parametrize(
    "key, value",
    [
        ("A", "x y"),
        ("B", ""),
        ("C", 'one\n  two = "2"\n\n# three'),
        ("D", "$A ${A} \\n `id`"),
        ("E", None),
    ],
)
def test_what_a_file_says(key: str, value: str | None) -> None:
    assert value_of(TEXT, key) == value


@pytest.mark.parametrize("key", ["B", "C", "D"])
def test_a_shell_reads_the_same(key: str, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text(TEXT)
    script = f'. {file}; printf %s "${key}"'
    read = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert value_of(TEXT, key) == read


@pytest.mark.parametrize(
    "text, said",
    [
        ("A='1'\nrubbish\n", "invalid environment variable format at line 2"),
        ("='1'", "invalid environment variable format at line 1"),
        ("A ='1'", "invalid environment variable format at line 1: whitespace before '='"),
        ("A=1", "value must be enclosed in single quotes at line 1"),
        ('A="1"', "value must be enclosed in single quotes at line 1"),
        ("A= '1'", "value must be enclosed in single quotes at line 1"),
        ("A='1'2", "unexpected content after closing quote at line 1"),
        ("A='1''2'", "unexpected content after closing quote at line 1"),
        ("A='1'#2", "unexpected content after closing quote at line 1"),
        ("B='1\n2'\nA='1", "unclosed single quote at line 3"),
    ],
)
def test_what_is_no_such_file(text: str, said: str) -> None:
    with pytest.raises(EnvFileFault, match=f"^{said}$"):
        value_of(text, "Z")


def test_what_comes_after_is_not_looked_at() -> None:
    assert value_of("A='1'\nrubbish", "A") == "1"


def test_files_of_a_volume(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/env").write_text("A='1'")
    assert envfile.read(str(tmp_path), "d/env") == "A='1'"
    assert envfile.read(str(tmp_path), "d/none") is None
    assert envfile.read(str(tmp_path), "d/env/none") is None


def test_a_container_cannot_make_the_node_read_elsewhere_or_wait(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "secret").write_text("A='1'")
    (tmp_path / "v/link").symlink_to("../secret")
    (tmp_path / "v/far").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "v/pipe")
    for name in ("link", "far"):
        with pytest.raises(OSError):
            envfile.read(str(tmp_path / "v"), name)
    with pytest.raises(EnvFileFault, match="no regular file"):
        envfile.read(str(tmp_path / "v"), "pipe")


def test_a_file_without_end(tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(EnvFileFault, match="more than"):
        envfile.read(str(tmp_path), "big")
