"""Services that never stop changing under traffic that never stops: does anything fail, does anything grow?

    make soak            MINUTES=30 as an environment variable; 10 if it is not given

While 200 Services change 50 times a second, three clients ask a Service whose servers are replaced one after
another. Every minute a line, in the end one JSON line; the exit code is 1 if a request failed, if somebody
came to a server that had been told to end, or if what is held has grown.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from cluster import cluster

from harness.churn import Churn
from harness.holdings import resident_kib
from harness.node import Node, eventually
from harness.shop import Shop

MINUTES = float(os.environ.get("MINUTES", "10"))
SERVICES, A_SECOND = 200, 50
PAUSE_S = 0.005
"""Of each client after each answer."""
EVERY_S = 60.0
REPLACED_EVERY_S = 15.0
WARM_SHARE = 0.3
"""What is held is compared from there on: caches and allocators have filled by then."""
GROWTH_KIB = 4096


class Held(NamedTuple):
    """What the node holds. `elements` of its nft table, `flows` of connection tracking."""

    resident_kib: int
    descriptors: int
    elements: int
    flows: int


def held(node: Node) -> Held:
    inside = ["nsenter", f"--net={node.data}/run/node.net"]
    table = subprocess.run(
        [*inside, "nft", "-j", "list", "table", "inet", "sampan"], capture_output=True, check=True
    )
    listed = [each for entry in json.loads(table.stdout)["nftables"] for each in entry.values()]
    flows = subprocess.run(
        [*inside, "cat", "/proc/sys/net/netfilter/nf_conntrack_count"], capture_output=True, check=True
    )
    return Held(
        resident_kib(node),
        len(list(Path(f"/proc/{node.pid}/fd").iterdir())),
        sum(len(each.get("elem", ())) for each in listed if isinstance(each, dict)),
        int(flows.stdout),
    )


def main() -> None:
    with cluster("soak") as (node, _), tempfile.TemporaryDirectory() as results:
        shop = Shop(node, Path(results))
        shop.open()
        bare = held(node)
        seen: list[Held] = []
        with (
            Churn(node, shop.namespace, services=SERVICES, a_second=A_SECOND) as churn,
            shop.clients(MINUTES * 60 + 120, PAUSE_S) as clients,
        ):
            begun_s = shown_s = time.monotonic()
            while (now_s := time.monotonic()) < begun_s + MINUTES * 60:
                if now_s >= shown_s:
                    seen.append(held(node))
                    print(
                        f"{(now_s - begun_s) / 60:5.1f} min  {churn.changes:7} changes  {seen[-1]}",
                        flush=True,
                    )
                    shown_s += EVERY_S
                shop.kubectl("delete", "pod", shop.pods()[0])
                eventually(lambda: len(shop.ready()) == 3)
                time.sleep(REPLACED_EVERY_S)
            seen.append(held(node))
        eventually(lambda: held(node).elements <= bare.elements + 20, 60)
        report(
            churn.changes,
            [load.results for load in clients],
            shop.late(),
            bare,
            seen,
            held(node),
            shop.ended(),
        )


def report(
    changes: int,
    traffic: list[dict[str, dict[str, object]]],
    late: dict[str, dict[str, int]],
    bare: Held,
    seen: list[Held],
    after: Held,
    replaced: int,
) -> None:
    counts = {mode: result for results in traffic for mode, result in results.items()}
    warm = seen[int(len(seen) * WARM_SHARE)]
    growth = {name: getattr(seen[-1], name) - getattr(warm, name) for name in Held._fields}
    figures = {
        "minutes": MINUTES,
        "changes": changes,
        "servers replaced": replaced,
        "requests": {mode: result["requests"] for mode, result in counts.items()},
        "failed": {mode: result["failed"] for mode, result in counts.items()},
        "came late": late,
        "held before": bare._asdict(),
        "held when warm": warm._asdict(),
        "growth since": growth,
        "held after": after._asdict(),
    }
    print(json.dumps(figures))
    failed = any(result["failed"] for result in counts.values())
    if failed or late or growth["resident_kib"] > GROWTH_KIB:
        sys.exit(1)


if __name__ == "__main__":
    main()
