"""`sampan kubeconfig`: the administrator's credentials as kubectl reads them."""

from __future__ import annotations

import argparse
import sys

from sampan.cli import cluster as clusters


def add_arguments(parser: argparse.ArgumentParser) -> None:
    clusters.add_arguments(parser)


def run(parsed: argparse.Namespace) -> int:
    cluster, _ = clusters.existing(parsed)
    sys.stdout.write(cluster.kubeconfig.read_text())
    return 0
