"""`sampan VERB ...`: finds the verb's module and runs it.

Only the module of the verb that was asked for is imported: starting the program is part of `up`'s second.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from sampan import KUBERNETES_VERSION, __version__
from sampan.cli.errors import UserError, of_disk
from sampan.cli.verbs import add_verb
from sampan.client.kubeconfig import KubeconfigError

VERBS = {
    "up": "bring a cluster up, or the one that is there back up",
    "down": "take a cluster down and leave nothing behind",
    "status": "what runs, where, and how it is",
    "kubeconfig": "print the administrator's kubeconfig",
    "node": "join a cluster, list its nodes, take one away",
    "token": "make, list and take back the tokens that nodes join with",
    "image": "pull, import, list and remove images",
}

FIRST_STEPS = """\
first steps:
  sudo sampan up       a cluster with one node, and kubectl's context for it
  kubectl get nodes
  sudo sampan down     nothing of it stays

`sampan VERB --help` says what a verb can be told."""


def build_parser(verb: str | None) -> argparse.ArgumentParser:
    """The parser, with arguments filled in for `verb` alone (None: for every verb)."""
    parser = argparse.ArgumentParser(
        prog="sampan",
        description="Kubernetes' Pods and Services in Python: a real cluster node in a second.",
        epilog=FIRST_STEPS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"sampan {__version__} (Kubernetes {KUBERNETES_VERSION})",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, summary in VERBS.items():
        sub = add_verb(verbs, name, summary)
        if verb in (None, name):
            module = importlib.import_module(f"sampan.cli.{name}")
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb; answers the exit code. 1: it failed and said why; 2: the words on the line are off."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = next((word for word in arguments if not word.startswith("-")), None)
    parsed = build_parser(verb).parse_args(arguments)
    try:
        code: int = parsed.run(parsed)
    except (UserError, KubeconfigError) as error:
        print(f"sampan: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if (said := of_disk(error)) is None:
            raise
        print(f"sampan: {said}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code
