"""When that happened because of which endpoints are written: the annotation `last-change-trigger-time`.

Monitoring takes the difference between this and the moment in which a node's rules follow. A Pod's trigger is
the last change of its readiness, a Service's its creation; of several that changed since the last look the
earliest counts. Times are the API's own text, which sorts as time does.
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api.objects import Obj, condition_of, name_of, split_key, uid_of

ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"


class TriggerTimes:
    """Owned by one controller; nothing here awaits."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, str]] = {}
        """By the Service's uid, then by Pod name: what was seen last. All text is the objects' own."""

    def look(self, service: Obj, pods: Iterable[Obj]) -> str:
        """The time to publish, "" for none; `pods` are all that the Service selects."""
        known = self._seen.get(uid_of(service))
        now = self._seen[uid_of(service)] = {name_of(pod): moment for pod in pods if (moment := _moment(pod))}
        if known is None:
            return service["metadata"].get("creationTimestamp") or ""
        return min((moment for name, moment in now.items() if moment > known.get(name, "")), default="")

    def look_again(self, service: Obj, changed: Iterable[Obj], gone: Iterable[str] = ()) -> str:
        """The same after a look, when it is known which Pods changed or came, and which (by key) went."""
        known = self._seen.setdefault(uid_of(service), {})
        for key in gone:
            known.pop(split_key(key)[1], None)
        moments = {name_of(pod): _moment(pod) for pod in changed}
        newer = {name: moment for name, moment in moments.items() if moment > known.get(name, "")}
        known.update(newer)
        return min(newer.values(), default="")

    def forget(self, service: Obj) -> None:
        self._seen.pop(uid_of(service), None)


def _moment(pod: Obj) -> str:
    return (condition_of(pod, "Ready") or {}).get("lastTransitionTime") or ""
