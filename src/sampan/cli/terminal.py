"""Progress on a terminal or in plain lines, and how numbers read."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence


class Progress:
    """One line that is rewritten on a terminal; a line each otherwise."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._begun_s = time.monotonic()

    def show(self, text: str) -> None:
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{text} ...")
        else:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def done(self, text: str) -> None:
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
        print(text)

    def elapsed_s(self) -> float:
        return time.monotonic() - self._begun_s


def size(count_bytes: float) -> str:
    """`5.4 MB`: decimal units, as image sizes are commonly given."""
    for unit, digits in (("B", 0), ("kB", 1), ("MB", 1), ("GB", 1)):
        if round(count_bytes, digits) < 1000:
            return f"{count_bytes:.{digits}f} {unit}"
        count_bytes /= 1000
    return f"{count_bytes:.1f} TB"


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns aligned to their widest cell; the first row is the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
