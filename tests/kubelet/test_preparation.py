"""Files that running containers have mounted."""

import threading
from pathlib import Path

from sampan.kubelet.preparation import rewrite

LONG, SHORT = "nameserver 10.96.0.10\noptions ndots:5\n", "nameserver 10.96.0.10\n"


def test_the_same_file_has_the_new_text(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    for text in (LONG, SHORT, LONG):
        rewrite(file, text)
        assert file.read_text() == text
    before = file.stat()
    rewrite(file, LONG)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert before.st_mode & 0o777 == 0o644


def test_who_reads_meanwhile_never_finds_it_empty(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    rewrite(file, LONG)
    done = threading.Event()

    def write() -> None:
        for number in range(2000):
            rewrite(file, SHORT if number % 2 else LONG)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert file.read_text().startswith("nameserver 10.96.0.10\n")
    writer.join()
