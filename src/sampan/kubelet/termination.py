"""What a container left as its last words: `terminationMessagePath`, or the end of its log.

Source: tasks/debug/debug-application/determine-reason-pod-failure.
"""

from __future__ import annotations

import os
from pathlib import Path

from sampan.api.objects import Obj
from sampan.kubelet import logs
from sampan.kubelet.runtime.contract import Exit

MESSAGE_LIMIT = 4096
LOG_LIMIT = 2048
LOG_LINES = 80
DEFAULT_PATH = "/dev/termination-log"


def prepare(file: Path) -> None:
    """The empty file that is mounted into the container; any user of it may write."""
    file.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))
    file.chmod(0o666)


def message(container: Obj, file: Path, log: Path, ended: Exit) -> str:
    """The message for the terminated state, `""` if there is none."""
    text = _head(file)
    failed = ended.code != 0
    if not text and failed and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        return logs.tail_text(log, LOG_LINES, LOG_LIMIT)
    return text


def cut(text: str, limit_bytes: int) -> str:
    """As much of `text` as `limit_bytes` hold, in whole characters."""
    if len(text) * 4 <= limit_bytes:
        return text
    return text.encode()[:limit_bytes].decode(errors="ignore")


def _head(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return stream.read(MESSAGE_LIMIT).decode(errors="replace")
    except FileNotFoundError:
        return ""
