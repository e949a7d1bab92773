"""The clock of deadlines: the wall's time when the process began, and from there only what really passed.

Grace periods and back-offs must not end early, or never, because somebody set the clock. Being close to the
wall's time, these moments can be compared with those that an earlier process left on disk. What is shown to
users is the wall's time, always.
"""

from __future__ import annotations

import time

_BEGAN_S = time.time() - time.monotonic()


def now_s() -> float:
    return _BEGAN_S + time.monotonic()
