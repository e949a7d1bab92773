"""`sampan token`: bootstrap tokens, which machines show to join the cluster."""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from collections.abc import Sequence

from sampan.api import bootstraptoken
from sampan.api.errors import StatusError
from sampan.api.objects import Obj, name_of
from sampan.api.resources import SECRETS
from sampan.apiserver.pki import Pki
from sampan.cli import cluster as clusters
from sampan.cli import discovery
from sampan.cli.access import administrator
from sampan.cli.errors import UserError
from sampan.cli.terminal import table
from sampan.cli.verbs import add_verb

DEFAULT_TTL = "24h"
_UNITS = {"s": 1, "m": 60, "h": 3600}
_SELECTOR = f"type={bootstraptoken.TYPE}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="token_verb", metavar="VERB", required=True)
    create = add_verb(verbs, "create", "make a token and print it")
    create.add_argument(
        "token", nargs="?", help="the token to make, e.g. abcdef.0123456789abcdef (default: any)"
    )
    create.add_argument(
        "--ttl", default=DEFAULT_TTL, help="how long it is good: 30m, 24h, 0 for ever (default: %(default)s)"
    )
    create.add_argument("--description", default="", help="what it is for")
    create.add_argument(
        "--usages", default=",".join(bootstraptoken.USAGES), help="what it is good for (default: %(default)s)"
    )
    create.add_argument(
        "--groups",
        default=bootstraptoken.NODE_GROUP,
        help="the groups of whoever shows it (default: %(default)s)",
    )
    create.add_argument(
        "--print-join-command", action="store_true", help="print what a machine has to say to join"
    )
    listing = add_verb(verbs, "list", "which tokens there are")
    delete = add_verb(verbs, "delete", "take tokens back")
    delete.add_argument(
        "tokens", nargs="+", metavar="TOKEN", help="a token or its ID (the first six characters)"
    )
    for each in (create, listing, delete):
        clusters.add_arguments(each)


def run(parsed: argparse.Namespace) -> int:
    return asyncio.run(_VERBS[parsed.token_verb](parsed))


async def _create(parsed: argparse.Namespace) -> int:
    token = parsed.token or bootstraptoken.generate()
    if not re.fullmatch(bootstraptoken.FORM, token):
        raise UserError(
            f"{token!r} is no bootstrap token",
            "One has six and sixteen small letters and digits: abcdef.0123456789abcdef",
        )
    ttl_s = seconds(parsed.ttl)
    secret = bootstraptoken.secret(
        token,
        expires_s=time.time() + ttl_s if ttl_s else None,
        usages=listed(parsed.usages, bootstraptoken.USAGES),
        groups=groups(parsed.groups),
        description=parsed.description,
    )
    cluster, choices = clusters.existing(parsed)
    async with administrator(cluster) as client:
        try:
            await client.create(SECRETS, secret)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                raise UserError(
                    f"there is a token with the ID {token[:6]} already",
                    f"`sampan token delete {token[:6]}` takes it back.",
                ) from error
            raise
    if parsed.print_join_command:
        ca_hash = discovery.hash_of(Pki(cluster.pki).ca.read_bytes())
        print(f"sampan node join https://127.0.0.1:{choices.api_port} --token {token} --ca-hash {ca_hash}")
    else:
        print(token)
    return 0


async def _list(parsed: argparse.Namespace) -> int:
    cluster, _ = clusters.existing(parsed)
    async with administrator(cluster) as client:
        found = await client.list(SECRETS, bootstraptoken.NAMESPACE, field_selector=_SELECTOR)
    rows = [("TOKEN", "TTL", "USAGES", "DESCRIPTION", "GROUPS")]
    rows += [row(secret, time.time()) for secret in sorted(found["items"], key=name_of)]
    print(table(rows))
    return 0


async def _delete(parsed: argparse.Namespace) -> int:
    cluster, _ = clusters.existing(parsed)
    async with administrator(cluster) as client:
        for token in parsed.tokens:
            token_id = token.partition(".")[0]
            try:
                await client.delete(
                    SECRETS, bootstraptoken.PREFIX + token_id, namespace=bootstraptoken.NAMESPACE
                )
            except StatusError as error:
                if error.code == 404:
                    raise UserError(
                        f"there is no token {token_id}", "`sampan token list` shows those there are."
                    ) from error
                raise
            print(f"token {token_id} deleted")
    return 0


_VERBS = {"create": _create, "list": _list, "delete": _delete}


def row(secret: Obj, now_s: float) -> tuple[str, str, str, str, str]:
    """A line of the list. The secret half is not shown: who has lost it makes another."""
    data = bootstraptoken.entries(secret)
    expires_s = bootstraptoken.expires_at(data)
    if expires_s is None:
        left = "<forever>"
    else:
        left = "<expired>" if expires_s <= now_s else short(expires_s - now_s)
    usages = [usage for usage in bootstraptoken.USAGES if data.get(f"usage-bootstrap-{usage}") == "true"]
    return (
        data.get("token-id", ""),
        left,
        ",".join(usages) or "<none>",
        data.get("description") or "<none>",
        data.get("auth-extra-groups") or "<none>",
    )


def seconds(text: str) -> int:
    """`90s`, `1h30m`, `0`; raises UserError."""
    if text == "0":
        return 0
    if not re.fullmatch(r"(\d+[smh])+", text):
        raise UserError(f"--ttl {text!r} is no duration", "For instance: 30m, 24h, 1h30m, or 0 for ever.")
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([smh])", text))


def short(left_s: float) -> str:
    hours, rest = divmod(int(left_s), 3600)
    return f"{hours}h" if hours else f"{rest // 60}m" if rest >= 60 else f"{rest}s"


def listed(text: str, known: Sequence[str]) -> list[str]:
    words = [word for word in text.split(",") if word]
    if not words or not set(words) <= set(known):
        raise UserError(f"--usages {text!r} are not known", f"There are: {', '.join(known)}.")
    return words


def groups(text: str) -> list[str]:
    words = [word for word in text.split(",") if word]
    for word in words:
        if not re.fullmatch(bootstraptoken.GROUP_FORM, word):
            raise UserError(
                f"--groups {word!r} cannot be a bootstrapper's group",
                "Such groups begin with system:bootstrappers:",
            )
    return words
