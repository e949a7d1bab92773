"""`sampan image`: the images a cluster can run, by hand."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from pathlib import Path

from sampan.cli import cluster as clusters
from sampan.cli.errors import UserError
from sampan.cli.terminal import size, table
from sampan.kubelet.images.contract import ImageFault
from sampan.kubelet.images.store import ImageStore

IMAGE_ROOT = clusters.DEFAULT_ROOT / "images"
"""Shared by all clusters of a machine: an image is fetched and unpacked once."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    clusters.add_arguments(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    pull = actions.add_parser("pull", help="fetch an image from its registry")
    pull.add_argument("reference")
    load = actions.add_parser("import", help="take in an OCI or docker archive, or an OCI layout directory")
    load.add_argument("archive", type=Path)
    load.add_argument("reference", nargs="?", default="", help="the name to give it (default: the one in it)")
    actions.add_parser("ls", help="list images")
    remove = actions.add_parser("rm", help="remove images")
    remove.add_argument("reference", nargs="+")


def run(parsed: argparse.Namespace) -> int:
    try:
        return asyncio.run(_act(parsed, ImageStore(IMAGE_ROOT, _mirrors(parsed))))
    except ImageFault as fault:
        raise UserError(fault.message) from fault


def _mirrors(parsed: argparse.Namespace) -> Mapping[str, str]:
    """The cluster's. Images may also be taken in before the first `up`; then there are none."""
    if parsed.name == clusters.DEFAULT_NAME and parsed.data_dir is None:
        choices = clusters.from_arguments(parsed).choices()
        return choices.mirrors if choices else {}
    return clusters.existing(parsed)[1].mirrors


async def _act(parsed: argparse.Namespace, images: ImageStore) -> int:
    await images.open()
    if parsed.action == "pull":
        image = await images.pull(parsed.reference)
        print(f"{image.reference} {image.digest}")
    elif parsed.action == "import":
        if not parsed.archive.exists():
            raise UserError(f"there is no {parsed.archive}")
        for image in await images.load(str(parsed.archive), parsed.reference):
            print(f"{image.reference} {image.digest}")
    elif parsed.action == "rm":
        for reference in parsed.reference:
            await images.remove(reference)
    else:
        rows = [("IMAGE", "DIGEST", "SIZE")]
        rows += [(image.reference, image.digest[7:19], size(image.size_bytes)) for image in images.listing()]
        print(table(rows))
    return 0
