"""A Corefile as text: server blocks with directives in them, which may have blocks of lines. Pure.

What the directives mean is known to `config`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase


class CorefileError(ValueError):
    """The text says what is wrong, and in which line."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")


@dataclass(frozen=True, slots=True)
class Directive:
    """`forward . 10.0.0.1 { ... }`: `body` has the words of each line between the braces."""

    name: str
    arguments: tuple[str, ...]
    body: tuple[tuple[str, ...], ...]
    line: int


@dataclass(frozen=True, slots=True)
class Section:
    """`example.org:53 { ... }`."""

    keys: tuple[str, ...]
    directives: tuple[Directive, ...]
    line: int


DIRECTORY = "/etc/coredns/"
"""Where the ConfigMap's keys would lie as files, the Corefile among them."""
_DEEPEST = 5


def parse(text: str, files: Mapping[str, str] | None = None) -> list[Section]:
    """`files`: what `import` may find beside the Corefile. Raises CorefileError."""
    lines = _Lines(text, files or {})
    sections = []
    while (found := lines.next()) is not None:
        number, words = found
        keys = list(words)
        while keys[-1].endswith(",") or (keys[-1] != "{" and (more := lines.peek()) and more[1][0] == "{"):
            more = lines.next()
            if more is None:
                break
            keys += more[1]
        if keys[-1] != "{":
            raise CorefileError(number, f"{' '.join(keys)!r} does not open a block with '{{'")
        names = tuple(key.strip(",") for key in keys[:-1] if key.strip(","))
        if not names or any(name.startswith("(") for name in names) or names[0] == "import":
            raise CorefileError(number, "a block begins with the zones it serves; snippets are not supported")
        sections.append(Section(names, tuple(_directives(lines, number)), number))
    return sections


def _directives(lines: _Lines, opened: int) -> Iterator[Directive]:
    while (found := lines.next()) is not None:
        number, words = found
        if words == ["}"]:
            return
        body: list[tuple[str, ...]] = []
        if words[-1] == "{":
            words = words[:-1]
            if not words:
                raise CorefileError(number, "a block without a name")
            body = list(_body(lines, number))
        elif words[-1] == "{}":
            words = words[:-1]
        yield Directive(words[0], tuple(words[1:]), tuple(body), number)
    raise CorefileError(opened, "the block that begins here has no end")


def _body(lines: _Lines, opened: int) -> Iterator[tuple[str, ...]]:
    while (found := lines.next()) is not None:
        number, words = found
        if words == ["}"]:
            return
        if words[-1] == "{":
            raise CorefileError(number, "a block within a directive's block")
        yield tuple(words)
    raise CorefileError(opened, "the block that begins here has no end")


class _Lines:
    """Lines that say something, as words; a closing brace stands on a line of its own."""

    def __init__(self, text: str, files: Mapping[str, str]) -> None:
        self._lines = list(_imported(_split(text), files))
        self._at = 0

    def peek(self) -> tuple[int, list[str]] | None:
        return self._lines[self._at] if self._at < len(self._lines) else None

    def next(self) -> tuple[int, list[str]] | None:
        found = self.peek()
        self._at += 1
        return found


def beside(path: str) -> str:
    """The name of a file in the Corefile's own directory; "" for one that is elsewhere."""
    name = path.removeprefix(DIRECTORY)
    return name if "/" not in name else ""


def _imported(
    lines: Iterator[tuple[int, list[str]]], files: Mapping[str, str], depth: int = 0
) -> Iterator[tuple[int, list[str]]]:
    """The lines of files take the place of `import FILE`; a pattern may find none."""
    for number, words in lines:
        if words[0] != "import" or len(words) != 2:
            yield number, words
            continue
        pattern = words[1].removeprefix(DIRECTORY)
        found = [files[name] for name in sorted(files) if fnmatchcase(name, pattern)]
        if not found and not any(mark in pattern for mark in "*?["):
            raise CorefileError(number, f"import: there is no {words[1]!r} beside the Corefile")
        if found and depth == _DEEPEST:
            raise CorefileError(number, "import: files that import each other")
        for text in found:
            inner = ((number, words) for _, words in _split(text))
            yield from _imported(inner, files, depth + 1)


def _split(text: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.splitlines(), 1):
        words = list(_words(line, number))
        while "}" in words:
            end = words.index("}")
            if words[:end]:
                yield number, words[:end]
            yield number, ["}"]
            words = words[end + 1 :]
        if words:
            yield number, words


def _words(line: str, number: int) -> Iterator[str]:
    """Words between blanks or in double quotes, up to a '#' that begins one."""
    at = 0
    while at < len(line):
        if line[at].isspace():
            at += 1
        elif line[at] == "#":
            return
        elif line[at] == '"':
            end = line.find('"', at + 1)
            if end < 0:
                raise CorefileError(number, "a quotation without an end")
            yield line[at + 1 : end]
            at = end + 1
        else:
            end = at
            while end < len(line) and not line[end].isspace():
                end += 1
            yield line[at:end]
            at = end
