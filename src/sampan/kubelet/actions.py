"""What `plan` has a Pod's worker do; each names the container it is about."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make volumes, sandbox and address."""


@dataclass(frozen=True, slots=True)
class Pull:
    """Find the image for the container's next attempt, or fetch it."""

    container: str


@dataclass(frozen=True, slots=True)
class Start:
    container: str


@dataclass(frozen=True, slots=True)
class Stop:
    """It is told to end, and its preStop hook begins. `why` is the text of the Killing event."""

    container: str
    grace_s: float
    why: str


@dataclass(frozen=True, slots=True)
class Signal:
    """The stop signal; a hook that still runs has had its time."""

    container: str


@dataclass(frozen=True, slots=True)
class Kill:
    container: str


@dataclass(frozen=True, slots=True)
class Announce:
    """Say in an Event that the container waits before it is tried again."""

    container: str


@dataclass(frozen=True, slots=True)
class Condemn:
    """The node ends the Pod: phase Failed for this reason."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class End:
    """Nothing new is started; the Pod leaves the endpoints, then its containers end."""

    grace_s: float


@dataclass(frozen=True, slots=True)
class Ended:
    """No process of it is left."""


@dataclass(frozen=True, slots=True)
class Release:
    """Report the end, then give back volumes, sandbox and address."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Take the object out of the API."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Nothing is left to do for this Pod, ever."""


@dataclass(frozen=True, slots=True)
class Wake:
    """Ask again at this time."""

    at_s: float


Action = (
    Prepare
    | Pull
    | Start
    | Stop
    | Signal
    | Kill
    | Announce
    | Condemn
    | End
    | Ended
    | Release
    | Delete
    | Forget
    | Wake
)
