"""What can go wrong on the way to an API server; what the server itself refuses is a `StatusError`."""

from __future__ import annotations


class Unreachable(ConnectionError):
    """No answer came: nobody listens, the connection broke or the time was up.

    Whether a write was carried out is not known; whoever repeats one must look first.
    """
