"""/etc/resolv.conf of a Pod, by its dnsPolicy and dnsConfig. Pure.

Source: concepts/services-networking/dns-pod-service, "Pod's DNS Policy" and "Pod's DNS Config".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sampan.api.objects import Obj, namespace_of

MAX_SERVERS = 3
MAX_SEARCHES = 32
MAX_SEARCH_CHARS = 2048


@dataclass(frozen=True, slots=True)
class Resolver:
    """The three kinds of lines of resolv.conf."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Resolver:
        """Of a file; the last `search` line wins, as in resolv.conf(5)."""
        servers: list[str] = []
        searches: list[str] = []
        options: list[str] = []
        for line in text.splitlines():
            words = line.split()
            if not words or words[0].startswith(("#", ";")):
                continue
            if words[0] == "nameserver" and len(words) > 1:
                servers.append(words[1])
            elif words[0] == "search":
                searches = [word.rstrip(".") or "." for word in words[1:]]
            elif words[0] == "options":
                options += words[1:]
        return cls(tuple(servers), tuple(searches), tuple(options))

    def render(self) -> str:
        lines = []
        if self.searches:
            lines.append(f"search {' '.join(self.searches)}")
        lines += [f"nameserver {server}" for server in self.nameservers]
        if self.options:
            lines.append(f"options {' '.join(self.options)}")
        return "".join(f"{line}\n" for line in lines)


def resolver(pod: Obj, node: Resolver, cluster_dns: Sequence[str], cluster_domain: str) -> Resolver:
    """What the Pod's containers get; names in the Pod's own namespace resolve without a suffix."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy", "ClusterFirst")
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    if policy == "None":
        base = Resolver()
    elif policy == "Default" or not cluster_dns:
        base = node
    else:
        own = (f"{namespace_of(pod)}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain)
        base = Resolver(tuple(cluster_dns), (*own, *node.searches), ("ndots:5",))
    return _limited(_extended(base, spec.get("dnsConfig") or {}))


def _extended(base: Resolver, config: Obj) -> Resolver:
    return Resolver(
        _unique((*base.nameservers, *(config.get("nameservers") or ()))),
        _unique((*base.searches, *(config.get("searches") or ()))),
        _merged(base.options, config.get("options") or ()),
    )


def _merged(options: Iterable[str], overrides: Iterable[Obj]) -> tuple[str, ...]:
    """An option of the config replaces the one of the same name."""
    merged = {option.partition(":")[0]: option for option in options}
    for override in overrides:
        value = override.get("value")
        merged[override["name"]] = f"{override['name']}:{value}" if value else override["name"]
    return tuple(merged.values())


def _limited(found: Resolver) -> Resolver:
    searches = list(found.searches[:MAX_SEARCHES])
    while searches and len(" ".join(searches)) > MAX_SEARCH_CHARS:
        searches.pop()
    return Resolver(found.nameservers[:MAX_SERVERS], tuple(searches), found.options)


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
