"""Node ports: of Services' ports, and for the health checks of load balancers. One pool for both."""

from __future__ import annotations

from collections.abc import Collection

from sampan.api import errors
from sampan.api.errors import FieldError, invalid_value
from sampan.api.objects import Obj
from sampan.apiserver.registry.addresses import Exhausted, OutOfRange, Pool, Taken, port_range
from sampan.apiserver.registry.servicechange import allocates_node_ports, needs_health_check, needs_node_ports


class NodePorts:
    """All of `first` to `last`, both included, but those at which the nodes themselves answer."""

    def __init__(self, first: int, last: int, reserved: Collection[int] = ()) -> None:
        self.first, self.last = first, last
        self.pool = Pool([port_range(first, last)], elsewhere=frozenset(reserved).__contains__)

    def take(self, spec: Obj, kept: set[int], owner: str, taken: list[int]) -> FieldError | None:
        """Fills in what the Service needs. It has the ports in `kept` already; what was reserved is added to
        `taken`. Answers what cannot be had; raises StatusError where upstream calls that an internal error.
        """
        if needs_node_ports(spec):
            for index, port in enumerate(spec.get("ports") or ()):
                if broken := self._take_for_port(spec, index, port, kept, owner, taken):
                    return broken
        if needs_health_check(spec):
            self._take_for_health(spec, kept, owner, taken)
        return None

    def _take_for_port(
        self, spec: Obj, index: int, port: Obj, kept: set[int], owner: str, taken: list[int]
    ) -> FieldError | None:
        asked = port.get("nodePort") or 0
        if not asked:
            if not allocates_node_ports(spec):
                return None
            shared = _shared(spec, port)
            asked = shared or self._any(owner, taken, "failed to allocate a nodePort")
            port["nodePort"] = asked
        why = self._reserve(asked, kept, owner, taken)
        return invalid_value(f"spec.ports[{index}].nodePort", asked, why) if why else None

    def _take_for_health(self, spec: Obj, kept: set[int], owner: str, taken: list[int]) -> None:
        asked = spec.get("healthCheckNodePort") or 0
        if not asked:
            spec["healthCheckNodePort"] = self._any(
                owner, taken, "failed to allocate a HealthCheck NodePort 0"
            )
        elif asked in {port.get("nodePort") for port in spec.get("ports") or ()}:
            raise _no_health_port(asked, "provided port is already allocated")
        elif why := self._reserve(asked, kept, owner, taken):
            raise _no_health_port(asked, why)

    def _reserve(self, number: int, kept: set[int], owner: str, taken: list[int]) -> str:
        """Why a number cannot be had; "" if it can, or is the Service's own."""
        if number in kept:
            return ""
        try:
            if self.pool.take(number, owner):
                taken.append(number)
        except Taken:
            return "provided port is already allocated"
        except OutOfRange:
            return (
                "provided port is not in the valid range. The range of valid ports is "
                f"{self.first}-{self.last}"
            )
        return ""

    def _any(self, owner: str, taken: list[int], failure: str) -> int:
        try:
            number = self.pool.take_any(owner)
        except Exhausted:
            raise errors.internal(f"{failure}: range is full") from None
        taken.append(number)
        return number


def held_by(service: Obj) -> set[int]:
    """The numbers that a Service holds."""
    spec = service["spec"]
    held = {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    return held | ({spec["healthCheckNodePort"]} if spec.get("healthCheckNodePort") else set())


def _shared(spec: Obj, port: Obj) -> int:
    """TCP and UDP of the same port number share their node port."""
    for other in spec["ports"]:
        same = other["port"] == port["port"] and other.get("protocol") != port.get("protocol")
        if other is not port and same and other.get("nodePort"):
            return int(other["nodePort"])
    return 0


def _no_health_port(number: int, why: str) -> errors.StatusError:
    return errors.internal(f"failed to allocate requested HealthCheck NodePort {number}: {why}")
