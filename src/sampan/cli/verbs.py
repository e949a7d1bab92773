"""Verbs, and verbs below verbs: `sampan VERB`, `sampan node VERB`."""

from __future__ import annotations

import argparse
from typing import TypeAlias

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_verb(verbs: Verbs, name: str, summary: str) -> argparse.ArgumentParser:
    """The verb's parser; its help begins with the line by which the help above lists it."""
    return verbs.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
