"""What a Corefile means to this server: those of CoreDNS's directives that clusters use. Pure.

A directive that is not known here is an error, never passed over: who wrote it expects what it says.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from sampan.dns import corefile, rewrite, template
from sampan.dns.corefile import CorefileError, Directive
from sampan.dns.rewrite import Rewrite
from sampan.dns.template import Template
from sampan.dns.upstream import Upstream

DEFAULT_TTL_S = 5
HOST_RESOLVERS = "/etc/resolv.conf"


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """The cluster's own names are answered."""

    pods: str = "disabled"
    ttl_s: int = DEFAULT_TTL_S
    by_pod_name: bool = False


@dataclass(frozen=True, slots=True)
class Hosts:
    """Names of a hosts file and of lines written in place; what they do not have may go on."""

    path: str = ""
    lines: tuple[str, ...] = ()
    ttl_s: int = 3600
    falls_through: bool = False


@dataclass(frozen=True, slots=True)
class Forward:
    """Names below `origin` are asked of others: `upstreams`, and the servers in resolv.conf `files`."""

    origin: str
    upstreams: tuple[Upstream, ...] = ()
    files: tuple[str, ...] = ()
    excepted: tuple[str, ...] = ()
    policy: str = "random"
    by_tcp: bool = False
    most: int = 1000


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long others' answers are kept, in seconds, and how many of each sort."""

    success_s: int = 3600
    denial_s: int = 1800
    success_most: int = 9984
    denial_most: int = 9984
    stale_s: int = 0
    prefetch: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """What is done about the names of some zones, in this order; "" is the root."""

    zones: tuple[str, ...] = ("",)
    rewrites: tuple[Rewrite, ...] = ()
    templates: tuple[Template, ...] = ()
    hosts: Hosts | None = None
    kubernetes: Kubernetes | None = None
    forwards: tuple[Forward, ...] = ()
    keeping: Keeping | None = None
    logs: bool = False
    finds_loops: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    blocks: tuple[Block, ...]
    by_zone: Mapping[str, Block] = field(repr=False)

    def block(self, name: str) -> Block | None:
        """The one with the longest zone that the name is in."""
        if len(self.by_zone) == 1 and (root := self.by_zone.get("")) is not None:
            return root
        while True:
            if (found := self.by_zone.get(name)) is not None:
                return found
            if not name:
                return None
            _, _, name = name.partition(".")

    @property
    def kubernetes(self) -> Kubernetes | None:
        return next((block.kubernetes for block in self.blocks if block.kubernetes), None)


def default_corefile(domain: str) -> str:
    """What kubeadm writes, but that the host's servers are asked in the host's order, and TTLs are short."""
    return f""".:53 {{
    errors
    health {{
       lameduck 5s
    }}
    ready
    kubernetes {domain} in-addr.arpa ip6.arpa {{
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl {DEFAULT_TTL_S}
    }}
    prometheus :9153
    forward . {HOST_RESOLVERS} {{
       max_concurrent 1000
       policy sequential
    }}
    cache 30
    loop
    reload
    loadbalance
}}
"""


def read(text: str, domain: str, files: Mapping[str, str] | None = None) -> Config:
    """`files`: what lies beside the Corefile, by name. Raises CorefileError."""
    blocks: list[Block] = []
    by_zone: dict[str, Block] = {}
    files = files or {}
    for section in corefile.parse(text, files):
        block = Block(tuple(_zone(key, section.line) for key in section.keys))
        for directive in section.directives:
            meaning = _DIRECTIVES.get(directive.name)
            if meaning is None:
                raise CorefileError(directive.line, f"the plugin {directive.name!r} is not one of sampan's")
            block = meaning(block, directive, domain)
        block = _with_files(block, files)
        for zone in block.zones:
            if zone in by_zone:
                raise CorefileError(section.line, f"the zone {zone or '.'!r} has a block already")
            by_zone[zone] = block
        blocks.append(block)
    if not any(block.kubernetes for block in blocks):
        raise CorefileError(1, f"no block has 'kubernetes {domain}': the cluster's names would be gone")
    return Config(tuple(blocks), by_zone)


def _zone(key: str, line: int) -> str:
    """`.:53`, `example.org`, `dns://example.org:53` or a network in CIDR form."""
    scheme, separator, rest = key.rpartition("://")
    if separator and scheme != "dns":
        raise CorefileError(line, f"{key!r}: only plain DNS is served")
    name, _, port = rest.partition(":")
    if port not in ("", "53"):
        raise CorefileError(line, f"{key!r}: names are served on port 53 alone")
    if "/" in name:
        raise CorefileError(line, f"{key!r}: write a reverse zone by its name, as 10.in-addr.arpa")
    return _name(name)


def _name(text: str) -> str:
    return text.rstrip(".").lower()


def _nothing(block: Block, directive: Directive, domain: str) -> Block:
    """What is always so here: errors are logged, the text reloaded, answers rotated, health is shown.

    A search path needs no help (autopath): a name that is not there is answered at once.
    """
    return block


def _prometheus(block: Block, directive: Directive, domain: str) -> Block:
    if directive.arguments and directive.arguments[0].rpartition(":")[2] != "9153":
        raise CorefileError(directive.line, "metrics are served on port 9153 alone")
    return block


def _kubernetes(block: Block, directive: Directive, domain: str) -> Block:
    zones = [_name(zone) for zone in directive.arguments] or list(block.zones)
    foreign = [zone for zone in zones if zone != domain and not f".{zone}".endswith(".arpa")]
    if foreign or domain not in zones:
        raise CorefileError(directive.line, f"the cluster's domain is {domain}, not {' '.join(zones)!r}")
    plan = Kubernetes()
    for words in directive.body:
        match words:
            case ("pods", "disabled" | "insecure" | "verified" as mode):
                plan = replace(plan, pods=mode)
            case ("ttl", seconds):
                plan = replace(plan, ttl_s=_whole(seconds, directive, 3600))
            case ("endpoint_pod_names",):
                plan = replace(plan, by_pod_name=True)
            case ("fallthrough", *_):
                pass
            case _:
                raise _unknown(words, directive)
    return replace(block, kubernetes=plan)


def _hosts(block: Block, directive: Directive, domain: str) -> Block:
    plan = Hosts(directive.arguments[0] if directive.arguments else "/etc/hosts")
    lines = []
    for words in directive.body:
        match words:
            case ("fallthrough", *_):
                plan = replace(plan, falls_through=True)
            case ("ttl", seconds):
                plan = replace(plan, ttl_s=_whole(seconds, directive, 65535))
            case ("no_reverse",) | ("reload", _):
                pass
            case (address, _, *_) if _is_address(address):
                lines.append(" ".join(words))
            case _:
                raise _unknown(words, directive)
    if lines and not directive.arguments:
        plan = replace(plan, path="")
    return replace(block, hosts=replace(plan, lines=tuple(lines)))


def _with_files(block: Block, files: Mapping[str, str]) -> Block:
    """A hosts file that lies beside the Corefile is read like lines in place."""
    if block.hosts is None or (text := files.get(corefile.beside(block.hosts.path))) is None:
        return block
    lines = (*block.hosts.lines, *text.splitlines())
    return replace(block, hosts=replace(block.hosts, path="", lines=lines))


def _forward(block: Block, directive: Directive, domain: str) -> Block:
    if len(directive.arguments) < 2:
        raise CorefileError(directive.line, "forward needs a zone and where to ask: forward . 10.0.0.1")
    plan = Forward(_name(directive.arguments[0]))
    server_name = ""
    for words in directive.body:
        match words:
            case ("except", *names):
                plan = replace(plan, excepted=tuple(map(_name, names)))
            case ("policy", "random" | "round_robin" | "sequential" as policy):
                plan = replace(plan, policy=policy)
            case ("max_concurrent", most):
                plan = replace(plan, most=_whole(most, directive, 1 << 20) or 1 << 20)
            case ("force_tcp",):
                plan = replace(plan, by_tcp=True)
            case ("tls_servername", name):
                server_name = name
            case ("prefer_udp" | "max_fails" | "expire" | "health_check", *_):
                pass  # by UDP first anyway; a server is known to be down by its silence
            case _:
                raise _unknown(words, directive)
    for target in directive.arguments[1:]:
        if target.startswith("/"):
            plan = replace(plan, files=(*plan.files, target))
        else:
            plan = replace(plan, upstreams=(*plan.upstreams, _upstream(target, server_name, directive)))
    return replace(block, forwards=(*block.forwards, plan))


def _upstream(target: str, server_name: str, directive: Directive) -> Upstream:
    scheme, _, rest = target.rpartition("://")
    if scheme not in ("", "dns", "tls"):
        raise CorefileError(directive.line, f"{target!r}: ask by dns:// or tls://")
    host, port = rest, 853 if scheme == "tls" else 53
    if rest.startswith("["):
        host, _, number = rest[1:].partition("]")
        port = _whole(number.removeprefix(":"), directive, 65535) if number else port
    elif rest.count(":") == 1:
        host, _, number = rest.partition(":")
        port = _whole(number, directive, 65535)
    if not _is_address(host):
        raise CorefileError(directive.line, f"{target!r} is neither an address nor a file")
    return Upstream(host, port, scheme == "tls", server_name)


def _cache(block: Block, directive: Directive, domain: str) -> Block:
    plan = Keeping()
    arguments = [word for word in directive.arguments if word[0].isdigit()]
    if arguments:
        seconds = _whole(arguments[0], directive, 1 << 30)
        plan = replace(plan, success_s=seconds, denial_s=min(seconds, plan.denial_s))
    for words in directive.body:
        match words:
            case ("success" | "denial" as sort, capacity, *rest):
                plan = replace(plan, **{f"{sort}_most": max(1, _whole(capacity, directive, 1 << 20))})
                if rest:
                    plan = replace(plan, **{f"{sort}_s": _whole(rest[0], directive, 1 << 30)})
            case ("serve_stale", *rest):
                plan = replace(plan, stale_s=_seconds(rest[0], directive) if rest else 3600)
            case ("prefetch", amount, *_):
                plan = replace(plan, prefetch=_whole(amount, directive, 1 << 20))
            case ("disable", "success" | "denial" as sort, *_):
                plan = replace(plan, **{f"{sort}_s": 0})
            case ("servfail" | "keepttl", *_):
                pass
            case _:
                raise _unknown(words, directive)
    return replace(block, keeping=plan)


def _rewrite(block: Block, directive: Directive, domain: str) -> Block:
    return replace(block, rewrites=(*block.rewrites, rewrite.read(directive)))


def _template(block: Block, directive: Directive, domain: str) -> Block:
    return replace(block, templates=(*block.templates, template.read(directive, block.zones)))


def _whole(text: str, directive: Directive, most: int) -> int:
    if not text.isdecimal() or int(text) > most:
        raise CorefileError(directive.line, f"{directive.name}: {text!r} is no number up to {most}")
    return int(text)


def _seconds(text: str, directive: Directive) -> int:
    """`30s`, `5m`, `1h`."""
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    if unit is None:
        raise CorefileError(directive.line, f"{directive.name}: {text!r} is no duration, as 30s or 1h")
    return _whole(text[:-1], directive, 1 << 20) * unit


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _unknown(words: tuple[str, ...], directive: Directive) -> CorefileError:
    return CorefileError(directive.line, f"{directive.name}: {' '.join(words)!r} is not understood")


_DIRECTIVES: Mapping[str, Callable[[Block, Directive, str], Block]] = {
    "errors": _nothing,
    "reload": _nothing,
    "loadbalance": _nothing,
    "health": _nothing,
    "ready": _nothing,
    "autopath": _nothing,
    "prometheus": _prometheus,
    "log": lambda block, directive, domain: replace(block, logs=True),
    "loop": lambda block, directive, domain: replace(block, finds_loops=True),
    "kubernetes": _kubernetes,
    "hosts": _hosts,
    "forward": _forward,
    "cache": _cache,
    "rewrite": _rewrite,
    "template": _template,
}
