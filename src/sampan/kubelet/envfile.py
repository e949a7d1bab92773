"""Variables from a file in a volume (`fileKeyRef`). Pure but for `read`.

A file is a small part of a shell's language, so that a shell reads the same: `NAME='value'`, a value of
any number of lines in single quotes that is taken as it stands, empty lines, `#` comments.
Source: KEP-3721 "Support for env files", tasks/inject-data-application/define-environment-variable-via-file.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sampan.kubelet.volumes.beneath import open_beneath

MOST_BYTES = 1 << 20
_BLANK = " \t\r\v\f"


class EnvFileFault(Exception):
    """The file is not one of variables, or cannot be read; the text names the line."""


def value_of(text: str, key: str) -> str | None:
    """What the first line for `key` gives it; None if no line does. Raises EnvFileFault for lines before."""
    at, line = 0, 0
    while at < len(text):
        line += 1
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        head = text[at:end].lstrip(_BLANK)
        if not head.strip(_BLANK) or head.startswith("#"):
            at = end + 1
            continue
        name, equals, rest = head.partition("=")
        if not equals or not name.strip(_BLANK):
            raise EnvFileFault(f"invalid environment variable format at line {line}")
        if name != name.rstrip(_BLANK):
            raise EnvFileFault(f"invalid environment variable format at line {line}: whitespace before '='")
        if not rest.startswith("'"):
            raise EnvFileFault(f"value must be enclosed in single quotes at line {line}")
        opened = end - len(rest) + 1
        closed = text.find("'", opened)
        if closed < 0:
            raise EnvFileFault(f"unclosed single quote at line {line}")
        end = text.find("\n", closed)
        end = len(text) if end < 0 else end
        behind = text[closed + 1 : end]
        if behind.strip(_BLANK) and not (behind[0] in _BLANK and behind.lstrip(_BLANK).startswith("#")):
            raise EnvFileFault(f"unexpected content after closing quote at line {line}")
        value = text[opened:closed]
        if name == key:
            return value
        line += value.count("\n")
        at = end + 1
    return None


def read(root: str, path: str) -> str | None:
    """The text of a file below a volume's `root`; None if there is none. Raises EnvFileFault, OSError.

    A container may have made anything there: a link that leads out, a pipe nobody writes to, no end of bytes.
    """
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        held = open_beneath(directory, path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    finally:
        os.close(directory)
    try:
        if not stat.S_ISREG(os.fstat(held).st_mode):
            raise EnvFileFault("it is no regular file")
        with Path(f"/proc/self/fd/{held}").open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    finally:
        os.close(held)
    if len(content) > MOST_BYTES:
        raise EnvFileFault(f"it has more than {MOST_BYTES} bytes")
    return content.decode(errors="surrogateescape")
