"""Names that stand for others: the directive `rewrite name` of CoreDNS. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sampan.dns.corefile import CorefileError, Directive


@dataclass(frozen=True, slots=True)
class Rewrite:
    """`exact`, `prefix`, `suffix`, `substring` or `regex` of a name, and what takes its place.

    Of a `regex` the whole name, which has its final dot there; {1} is what its first group found.
    """

    how: str
    old: str
    new: str

    def apply(self, name: str) -> str | None:
        """The other name; None if this one stays."""
        old, new = self.old, self.new
        if self.how == "regex":
            found = re.search(old, f"{name}.")
            return found and re.sub(r"{(\d+)}", lambda m: found[int(m[1])] or "", new).rstrip(".")
        if self.how == "exact":
            return new if name == old else None
        if self.how == "suffix":
            return name.removesuffix(old) + new if name.endswith(old) else None
        if self.how == "prefix":
            return new + name.removeprefix(old) if name.startswith(old) else None
        return name.replace(old, new) if old in name else None


def read(directive: Directive) -> Rewrite:
    """Raises CorefileError."""
    words = [word for word in directive.arguments if word not in ("stop", "continue")]
    for line in directive.body:  # the form of several lines; the asker sees its own name in any case
        if not words and line[:1] == ("name",):
            words = list(line)
        elif line[:2] not in (("answer", "name"), ("answer", "auto")):
            raise CorefileError(directive.line, f"rewrite: {' '.join(line)!r} is not understood")
    if words[:1] == ["name"] and len(words) == 3:
        words.insert(1, "exact")
    if words[:2] == ["name", "regex"] and len(words) >= 4:
        return _by_pattern(words[2], words[3], directive)
    match words[:4]:
        case ["name", "exact" | "prefix" | "suffix" | "substring" as how, old, new]:
            old, new = old.lower(), new.lower()
            if how in ("exact", "suffix"):
                old, new = old.rstrip("."), new.rstrip(".")
            return Rewrite(how, old, new)
    raise CorefileError(
        directive.line, "rewrite knows 'name [exact|prefix|suffix|substring|regex] OLD NEW' alone"
    )


def _by_pattern(old: str, new: str, directive: Directive) -> Rewrite:
    try:
        groups = re.compile(old).groups
    except re.error as error:
        raise CorefileError(directive.line, f"rewrite: {old!r}: {error}") from error
    if any(int(number) > groups for number in re.findall(r"{(\d+)}", new)):
        raise CorefileError(directive.line, f"rewrite: {new!r} names a group that {old!r} does not have")
    return Rewrite("regex", old, new.lower())
