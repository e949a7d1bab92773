"""What the command line says when it cannot do what was asked."""

from __future__ import annotations


class UserError(Exception):
    """`what` was found, and what to `do` about it; printed without a traceback."""

    def __init__(self, what: str, do: str = "") -> None:
        super().__init__(f"{what}\n  {do}" if do else what)
        self.what, self.do = what, do
