from __future__ import annotations

import argparse

import pytest

from sampan.cli import image, node, token
from sampan.cli.verbs import add_verb


def test_the_line_in_the_list_is_the_first_of_the_verbs_own_help() -> None:
    parser = argparse.ArgumentParser(prog="sampan")
    parsed = add_verb(parser.add_subparsers(), "rm", "take it away")
    assert "take it away" in parser.format_help()
    assert "Take it away." in parsed.format_help()


@pytest.mark.parametrize("module", [image, node, token])
def test_every_verb_below_a_verb_says_what_it_does_and_what_it_takes(module) -> None:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    (verbs,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for name, verb in verbs.choices.items():
        assert verb.description, name
        assert all(action.help or action.metavar for action in verb._actions), name
