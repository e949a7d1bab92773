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
SLACK_KIB, GROWTH_KIB = 4096, 0.25
"""Of the process, and of it per change: Events of load balancers and Pods stay for an hour."""


class Held(NamedTuple):
    """What the node holds. `elements` of its nft table, `flows` of connection tracking."""

    changes: int
    resident_kib: int
    descriptors: int
    elements: int
    flows: int


def held(node: Node, changes: int = 0) -> Held:
    inside = ["nsenter", f"--net={node.data}/run/node.net"]
    table = subprocess.run(
        [*inside, "nft", "-j", "list", "table", "inet", "sampan"], capture_output=True, check=True
    )
    listed = [each for entry in json.loads(table.stdout)["nftables"] for each in entry.values()]
    flows = subprocess.run(
        [*inside, "cat", "/proc/sys/net/netfilter/nf_conntrack_count"], capture_output=True, check=True
    )
    return Held(
        changes,
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
                    seen.append(held(node, churn.changes))
                    print(f"{(now_s - begun_s) / 60:5.1f} min  {seen[-1]}", flush=True)
                    shown_s += EVERY_S
                shop.kubectl("delete", "pod", shop.pods()[0])
                eventually(lambda: len(shop.ready()) == 3)
                time.sleep(REPLACED_EVERY_S)
            seen.append(held(node, churn.changes))
        eventually(lambda: held(node).elements <= bare.elements + 20, 60)
        traffic = {mode: counts for load in clients for mode, counts in load.results.items()}
        report(traffic, shop, [bare, *seen, held(node)])


def report(traffic: dict[str, dict[str, object]], shop: Shop, series: list[Held]) -> None:
    """`series`: before anything changed, then from time to time, then when all that changed was gone."""
    before, *seen, after = series
    warm = seen[int(len(seen) * WARM_SHARE)]
    growth = {name: getattr(seen[-1], name) - getattr(warm, name) for name in Held._fields}
    late = shop.late()
    figures = {
        "minutes": MINUTES,
        "changes": seen[-1].changes,
        "servers replaced": len(shop.ended()),
        "requests": {mode: result["requests"] for mode, result in traffic.items()},
        "failed": {mode: result["failed"] for mode, result in traffic.items()},
        "came late": late,
        "held before": before._asdict(),
        "held when warm": warm._asdict(),
        "growth since": growth,
        "held after": after._asdict(),
    }
    print(json.dumps(figures))
    failed = any(result["failed"] for result in traffic.values())
    if failed or late or growth["resident_kib"] > SLACK_KIB + GROWTH_KIB * growth["changes"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
