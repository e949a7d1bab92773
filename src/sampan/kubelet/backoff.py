"""How long to wait before the next attempt: 10 s, doubled each time up to 5 min, forgotten after 10 min.

The first restart is immediate; the delays are those that upstream's kubelet documents for CrashLoopBackOff
and image pulls (kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle, "Container restarts").
"""

from __future__ import annotations

from dataclasses import dataclass

INITIAL_S = 10.0
LIMIT_S = 300.0
FORGET_S = 600.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """`delay_s` must lie between a failure and the next attempt; 0 until the first retry was made."""

    delay_s: float = 0.0
    updated_s: float = 0.0

    def due_s(self, failed_at_s: float) -> float:
        """When the next attempt may be made."""
        if failed_at_s - self.updated_s > FORGET_S:
            return failed_at_s
        return failed_at_s + self.delay_s

    def after_retry(self, failed_at_s: float, now_s: float, limit_s: float = LIMIT_S) -> Backoff:
        """A retry is made now of what failed then: the next one waits longer."""
        if not self.delay_s or failed_at_s - self.updated_s > FORGET_S:
            return Backoff(min(INITIAL_S, limit_s), now_s)
        return Backoff(min(self.delay_s * 2, limit_s), now_s)


def duration(seconds: float) -> str:
    """A whole number of seconds in Go's form: `10s`, `1m20s`, `5m0s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
