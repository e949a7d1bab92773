"""The configuration as users change it: the ConfigMap `kube-system/coredns`, followed as it changes.

One that cannot be read is not taken; the one before holds on, and an Event at the ConfigMap says why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from sampan.api.objects import Obj
from sampan.api.resources import CONFIG_MAPS
from sampan.client.events import NORMAL, WARNING, EventRecorder
from sampan.client.informers import Informers
from sampan.dns.announce import COREFILE, NAMESPACE
from sampan.dns.corefile import CorefileError
from sampan.dns.upstream import Upstream

log = logging.getLogger(__name__)

COREFILE_KEY = "Corefile"
Configure = Callable[[str, Mapping[str, str]], None]


class Settings:
    """`configure` takes a Corefile ("" for the default) and what lies beside it; it raises CorefileError."""

    def __init__(
        self, informers: Informers, events: EventRecorder, configure: Configure, default: str
    ) -> None:
        self._events, self._configure = events, configure
        self._told: Mapping[str, str] = {COREFILE_KEY: default}
        """What holds now, or was refused last."""
        self._refused = False
        self.informer = informers.informer(CONFIG_MAPS, NAMESPACE, field_selector=f"metadata.name={COREFILE}")
        self._default = default
        self.informer.subscribe(self._changed)

    def loop_found(self, server: Upstream) -> None:
        """A server that asks us what we ask it."""
        found = self.informer.list()
        if found:
            self._events.event(
                found[0],
                WARNING,
                "DNSLoop",
                f"{server} sends what it is asked back to the cluster's DNS; it is not asked any more. "
                "Name another server in 'forward'.",
            )

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        told = dict(new.get("data") or {}) if new is not None else {COREFILE_KEY: self._default}
        if told == self._told:
            return
        self._told = told
        files = {name: text for name, text in told.items() if name != COREFILE_KEY}
        try:
            self._configure(told.get(COREFILE_KEY, ""), files)
        except CorefileError as error:
            log.warning("dns: Corefile not taken: %s", error)
            self._refused = True
            if new is not None:
                message = f"Corefile, {error}; the configuration before it stays in force"
                self._events.event(new, WARNING, "CorefileRefused", message)
            return
        log.info("dns: configured anew")
        if new is not None and (old is not None or self._refused):
            self._events.event(new, NORMAL, "CorefileLoaded", "the cluster's DNS answers by it now")
        self._refused = False
