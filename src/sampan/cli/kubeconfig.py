"""`sampan kubeconfig`: the administrator's credentials as kubectl reads them."""

from __future__ import annotations

import argparse
import sys

from sampan.cli import cluster as clusters
from sampan.cli.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    clusters.add_arguments(parser)


def run(parsed: argparse.Namespace) -> int:
    cluster, _ = clusters.existing(parsed)
    try:
        sys.stdout.write(cluster.kubeconfig.read_text())
    except FileNotFoundError as error:
        raise UserError(
            f"the cluster {cluster.name!r} has never been up",
            f"`sampan up --name {cluster.name}` brings it up; {cluster.log} says why it did not.",
        ) from error
    return 0
