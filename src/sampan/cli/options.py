"""What `sampan up` can be told, in the order in which its help shows it.

An option that is not given is None, so that `up` can tell it from one that is: what a cluster was told once
holds until it is told otherwise.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sampan.cli import cluster as clusters
from sampan.cli import pools


def add_arguments(parser: argparse.ArgumentParser) -> None:
    of_cluster(parser.add_argument_group("the cluster"))
    of_images(parser.add_argument_group("images"))
    of_network(parser.add_argument_group("addresses, Services and names"))
    of_nodes(parser.add_argument_group("nodes and their Pods"))


def of_cluster(group: argparse._ArgumentGroup) -> None:
    clusters.add_arguments(group)
    group.add_argument(
        "--kubeconfig",
        metavar="FILE",
        type=Path,
        help="where to add the context (default: as kubectl looks)",
    )
    group.add_argument(
        "--nodes",
        metavar="N",
        type=int,
        help="how many nodes, each with a network namespace of its own (default: as many as it has, or 1)",
    )
    group.add_argument("--foreground", action="store_true", help="do not go into the background")


def of_images(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--registry-mirror",
        metavar="HOST=URL",
        action="append",
        default=[],
        help="pull images of HOST from URL instead, e.g. docker.io=http://127.0.0.1:5000; may be repeated",
    )
    group.add_argument(
        "--image-root",
        metavar="DIR",
        type=Path,
        help=f"where images are kept (default: {clusters.DEFAULT_ROOT}/images, shared by all clusters)",
    )


def of_network(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--ip-families",
        metavar="FAMILIES",
        help="ipv4, ipv6, ipv4,ipv6 or ipv6,ipv4: what addresses Pods, Services and nodes have, the primary "
        "family first (default: all that the kernel has, IPv4 first)",
    )
    group.add_argument(
        "--service-node-port-range",
        metavar="FIRST-LAST",
        help="the node ports that Services may have (default: 30000-32767)",
    )
    group.add_argument(
        pools.OPTION,
        metavar="POOLS",
        help="networks or ranges FIRST-LAST that Services of type LoadBalancer get addresses of, with commas "
        "between them (default: one of each family that nothing else on the machine has)",
    )
    group.add_argument(
        "--external-ips",
        metavar="CIDRS",
        help="networks that Services may have externalIPs of, e.g. 192.0.2.0/24 (default: none)",
    )
    group.add_argument(
        "--cluster-domain",
        metavar="DOMAIN",
        help=f"the end of all names of Services (default: {clusters.DEFAULT_DOMAIN})",
    )
    group.add_argument(
        "--overlay",
        action="store_true",
        default=None,
        help="let Pods' packets between nodes travel in VXLAN instead of by plain routes",
    )


def of_nodes(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--kubelet-config",
        metavar="FILE",
        type=Path,
        help="a KubeletConfiguration: what the node keeps back, when it evicts, how many Pods it takes",
    )
    group.add_argument(
        "--node-monitor-grace-period",
        metavar="S",
        type=float,
        help="seconds for which a node may be silent before it counts as lost (default: 40)",
    )
    group.add_argument(
        "--pod-security",
        metavar="FILE",
        type=Path,
        help="a PodSecurityConfiguration: which standards hold in all namespaces, and who is exempt",
    )
    group.add_argument(
        "--allowed-unsafe-sysctls",
        metavar="NAMES",
        type=lambda text: [name for name in text.split(",") if name],
        help="what Pods may set besides the safe sysctls, e.g. net.core.somaxconn,kernel.msg*",
    )
