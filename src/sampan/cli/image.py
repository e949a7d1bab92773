"""`sampan image`: the images a cluster can run, by hand."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from sampan.cli import cluster as clusters
from sampan.cli.cluster import Choices
from sampan.cli.errors import UserError
from sampan.cli.terminal import size, table
from sampan.cli.verbs import add_verb
from sampan.kubelet.images.contract import Image, ImageFault
from sampan.kubelet.images.store import ImageStore

_NOBODYS = Choices(0, "")
"""Images may also be taken in before the first `up`; then there are no mirrors."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    clusters.add_arguments(parser)
    parser.add_argument(
        "--image-root",
        metavar="DIR",
        type=Path,
        help="where images are kept (default: as the cluster has it)",
    )
    verbs = parser.add_subparsers(dest="image_verb", metavar="VERB", required=True)
    pull = add_verb(verbs, "pull", "fetch an image from its registry")
    pull.add_argument("reference", metavar="IMAGE", help="e.g. nginx or quay.io/org/app:1.2")
    load = add_verb(verbs, "import", "take in an OCI or docker archive, or an OCI layout directory")
    load.add_argument("archive", metavar="PATH", type=Path, help="of the archive or the directory")
    load.add_argument(
        "reference",
        metavar="IMAGE",
        nargs="?",
        default="",
        help="the name to give it (default: the one in it)",
    )
    listing = add_verb(verbs, "ls", "the images there are")
    listing.add_argument("-o", "--output", choices=["json"], help="for programs")
    remove = add_verb(verbs, "rm", "remove images; what containers run from goes when they have ended")
    remove.add_argument("reference", metavar="IMAGE", nargs="+")
    add_verb(verbs, "prune", "remove all images that no container runs from")


def run(parsed: argparse.Namespace) -> int:
    choices = _choices(parsed)
    images = ImageStore(parsed.image_root or choices.images, choices.mirrors)
    try:
        return asyncio.run(_act(parsed, images))
    except ImageFault as fault:
        raise UserError(fault.message) from fault
    except PermissionError as error:
        raise UserError(f"{error.filename}: permission denied", "Images are kept by root.") from error


def _choices(parsed: argparse.Namespace) -> Choices:
    """The cluster's."""
    if parsed.name == clusters.DEFAULT_NAME and parsed.data_dir is None:
        return clusters.from_arguments(parsed).choices() or _NOBODYS
    return clusters.existing(parsed)[1]


async def _act(parsed: argparse.Namespace, images: ImageStore) -> int:
    await images.open()
    if parsed.image_verb == "pull":
        image = await images.pull(parsed.reference)
        print(f"{image.reference} {image.digest}")
    elif parsed.image_verb == "import":
        if not parsed.archive.exists():
            raise UserError(f"there is no {parsed.archive}")
        for image in await images.load(str(parsed.archive), parsed.reference):
            print(f"{image.reference} {image.digest}")
    elif parsed.image_verb == "rm":
        return await _remove(images, parsed.reference)
    elif parsed.image_verb == "prune":
        await _remove(images, [image.reference for image in images.unused(())])
    else:
        _show(images.listing(), parsed.output)
    return 0


async def _remove(images: ImageStore, references: Sequence[str]) -> int:
    found = {reference: image for reference in references if (image := images.find(reference)) is not None}
    await images.remove(*found)
    for image in found.values():
        print(f"removed {image.reference}")
    if missing := [reference for reference in references if reference not in found]:
        raise UserError(f"no such image: {', '.join(missing)}", "`sampan image ls` lists what there is.")
    return 0


def _show(listing: Sequence[Image], output: str | None) -> None:
    ordered = sorted(listing, key=lambda image: image.reference)
    if output == "json":
        fields = ("reference", "digest", "id", "size_bytes")
        print(json.dumps([{name: getattr(image, name) for name in fields} for image in ordered], indent=2))
        return
    rows = [("IMAGE", "DIGEST", "SIZE")]
    rows += [(image.reference, image.digest[7:19], size(image.size_bytes)) for image in ordered]
    print(table(rows))
