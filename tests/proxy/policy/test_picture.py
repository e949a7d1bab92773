"""Random clusters and changes: what the table says is what an oracle says, however it came about."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from harness import policies
from harness.lab import NODE
from harness.policies import labelled, port
from harness.policyoracle import Cluster, Flow, table_lets_pass
from sampan.api.objects import Obj, key_of, labels_of, namespace_of
from sampan.proxy.policy.model import pod_of, policy_of
from sampan.proxy.policy.picture import Picture
from sampan.proxy.table import Table, applied

NAMESPACES = ("x", "y")
ADDRESSES = (
    ("10.0.0.2", "fd00::2"),
    ("10.0.0.3",),
    ("10.0.0.4", "fd00::4"),
    ("10.0.1.5",),
    ("fd00::106",),
)
STRANGERS = ("192.0.2.1", "2001:db8::1")
PORTS = (79, 80, 81, 8080)
PROTOCOLS = ("TCP", "UDP", "SCTP")

labels = st.fixed_dictionaries({}, optional={"a": st.sampled_from("12"), "b": st.sampled_from("12")})
expressions = st.sampled_from(
    [
        {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
        {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]},
        {"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["1"]}]},
    ]
)
selectors = st.one_of(st.just({}), labels.map(lambda found: labelled(**found)), expressions)
blocks = st.sampled_from(
    [
        {"cidr": "10.0.0.0/8"},
        {"cidr": "10.0.0.0/24", "except": ["10.0.0.2/32"]},
        {"cidr": "10.0.0.7/16", "except": ["10.0.0.0/25", "10.0.0.4/30"]},
        {"cidr": "10.0.0.2/32"},
        {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]},
        {"cidr": "fd00::/64", "except": ["fd00::/125"]},
        {"cidr": "::/0"},
    ]
)
peers = st.one_of(
    st.builds(lambda s: {"podSelector": s}, selectors),
    st.builds(lambda s: {"namespaceSelector": s}, selectors),
    st.builds(lambda s, n: {"podSelector": s, "namespaceSelector": n}, selectors, selectors),
    st.builds(lambda b: {"ipBlock": b}, blocks),
)
ports = st.one_of(
    st.builds(port, st.sampled_from([80, 81, "web", "dns"]), st.sampled_from(PROTOCOLS)),
    st.builds(lambda p: port(protocol=p), st.sampled_from(PROTOCOLS)),
    st.builds(port, st.sampled_from([1, 80]), st.sampled_from(PROTOCOLS), st.sampled_from([80, 81, 65535])),
)


def rules(peers_field: str) -> st.SearchStrategy[list[Obj]]:
    rule = st.fixed_dictionaries(
        {}, optional={peers_field: st.lists(peers, max_size=2), "ports": st.lists(ports, max_size=2)}
    )
    return st.lists(rule, max_size=2)


def made_policy(name: str, ns: str, selector: Obj, kinds: list[str], ingress: Obj, egress: Obj) -> Obj:
    return policies.policy(name, ns, selector, policyTypes=kinds, ingress=ingress, egress=egress)


some_policy = st.builds(
    made_policy,
    st.sampled_from("pq"),
    st.sampled_from(NAMESPACES),
    selectors,
    st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
    rules("from"),
    rules("to"),
)
named = st.sampled_from(
    [
        [],
        [{"name": "web", "containerPort": 8080}],
        [{"name": "web", "containerPort": 80}, {"name": "dns", "containerPort": 81, "protocol": "UDP"}],
    ]
)


@st.composite
def some_pod(draw: st.DrawFn) -> Obj:
    serial = draw(st.integers(0, len(ADDRESSES) - 1))
    return policies.pod(
        f"pod{serial}",
        draw(st.sampled_from(NAMESPACES)),
        *ADDRESSES[serial],
        node=draw(st.sampled_from([NODE, NODE, "elsewhere"])),
        phase=draw(st.sampled_from(["Running"] * 4 + ["Succeeded"])),
        host_network=draw(st.sampled_from([False] * 5 + [True])),
        ports=draw(named),
        **draw(labels),
    )


some_namespace = st.builds(
    lambda name, found: policies.namespace(name, **found), st.sampled_from(NAMESPACES), labels
)
changes = st.lists(
    st.tuples(st.sampled_from(["put", "put", "put", "remove"]), some_policy | some_pod() | some_namespace),
    min_size=1,
    max_size=14,
)


def note(cluster: Cluster, obj: Obj, *, there: bool) -> None:
    """A Pod's address is one Pod's alone."""
    if obj["kind"] == "Pod":
        serial = obj["metadata"]["name"]
        for key in [key for key in cluster.pods if key.endswith(serial)]:
            del cluster.pods[key]
        if there:
            cluster.pods[key_of(obj)] = obj
    else:
        shelf = cluster.namespaces if obj["kind"] == "Namespace" else cluster.policies
        if there:
            shelf[key_of(obj)] = obj
        else:
            shelf.pop(key_of(obj), None)


def tell(picture: Picture, cluster: Cluster, before: Cluster) -> None:
    """What informers would: only what is not as it was."""
    for key in {**before.pods, **cluster.pods}:
        old, new = before.pods.get(key), cluster.pods.get(key)
        if old is not new:
            picture.set_pod(key, pod_of(new, NODE) if new else None)
    for key in {**before.policies, **cluster.policies}:
        policy = cluster.policies.get(key)
        if policy is not before.policies.get(key):
            picture.set_policy(key, policy_of(policy) if policy else None)
    for key in {**before.namespaces, **cluster.namespaces}:
        space = cluster.namespaces.get(key)
        picture.set_namespace(key, labels_of(space) if space else None)


def copied(cluster: Cluster) -> Cluster:
    return Cluster(cluster.node, dict(cluster.namespaces), dict(cluster.pods), dict(cluster.policies))


def flows() -> list[Flow]:
    addresses = [address for listed in ADDRESSES for address in listed] + list(STRANGERS)
    return [
        Flow(source, destination, protocol, number)
        for source, destination in product(addresses, addresses)
        if (":" in source) == (":" in destination)
        for protocol, number in product(PROTOCOLS, PORTS)
    ]


FLOWS = flows()


@settings(max_examples=150, deadline=None)
@given(changes)
def test_table_says_what_the_oracle_says(steps: list[tuple[str, Obj]]) -> None:
    picture, cluster = Picture(), Cluster(NODE)
    table: Table = {}
    for verb, obj in steps:
        before = copied(cluster)
        note(cluster, obj, there=verb == "put")
        tell(picture, cluster, before)
        table = applied(table, picture.take())
        assert table == picture.table
    for flow in FLOWS:
        assert table_lets_pass(table, flow) == cluster.lets_pass(flow), flow
    fresh = Picture()
    tell(fresh, cluster, Cluster(NODE))
    fresh.take()
    assert fresh.table == table, "how it came about shows"
    tell(picture, Cluster(NODE), cluster)
    assert applied(table, picture.take()) == {}, "something stays"


def busy_namespace(picture: Picture, count: int) -> None:
    picture.set_namespace("x", {"kubernetes.io/metadata.name": "x"})
    for n in range(count):
        found = pod_of(
            policies.pod(f"pod{n}", "x", f"10.1.{n // 250}.{n % 250 + 2}", app=f"app{n % 20}"), NODE
        )
        picture.set_pod(f"pod{n}", found)
    for n in range(20):
        allow = policies.policy(
            f"allow{n}",
            "x",
            labelled(app=f"app{n}"),
            ingress=[{"from": [{"podSelector": labelled(app=f"app{n - 1}")}], "ports": [port(80)]}],
        )
        picture.set_policy(f"x/allow{n}", policy_of(allow))
    picture.take()


def test_one_more_pod_is_a_few_elements_and_nothing_that_stays_is_written_again() -> None:
    picture = Picture()
    busy_namespace(picture, 200)
    picture.set_pod("new", pod_of(policies.pod("new", "x", "10.1.9.9", app="app3"), NODE))
    change = picture.take()
    assert not change.delete
    assert sorted(element.set for element, _ in change.add) == ["dropin4", "id4", "in4", "self4"]
    picture.set_pod("new", pod_of(policies.pod("new", "x", "10.1.9.9", app="app3", seen="yes"), NODE))
    assert not picture.take()
    picture.set_pod("new", None)
    assert set(picture.take().delete) == set(change.add)


def test_golden_elements_of_a_policy() -> None:
    picture = Picture()
    picture.set_namespace("x", {"ns": "x"})
    web = policies.pod("web", "x", "10.0.0.2", ports=[{"name": "http", "containerPort": 8080}], app="web")
    picture.set_pod("web", pod_of(web, NODE))
    picture.set_pod("guest", pod_of(policies.pod("guest", "x", "10.0.0.3", role="guest"), NODE))
    rule = {
        "from": [{"podSelector": labelled(role="guest")}, {"ipBlock": {"cidr": "192.0.2.0/24"}}],
        "ports": [port("http"), port(9000, end=9010)],
    }
    picture.set_policy("x/web", policy_of(policies.policy("web", "x", labelled(app="web"), ingress=[rule])))
    elements = {f"{e.set} {e.key} {v}" for e, v in picture.take().add}
    numbers = {e.set: int(v[0]) for e, v in picture.table.items() if v}
    of_class, guest, network = numbers["in4"], numbers["id4"], numbers["net4"]
    span, piece = numbers["spans"], numbers["ports"]
    assert elements == {
        f"in4 ('10.0.0.2',) ({of_class},)",
        "dropin4 ('10.0.0.2',) ()",
        "self4 ('10.0.0.2', '10.0.0.2') ()",
        f"id4 ('10.0.0.3',) ({guest},)",
        f"net4 ('192.0.2.0', '192.0.2.255') ({network},)",
        f"allow ({of_class}, {guest}, 'tcp', 8080) ()",
        f"allow ({of_class}, {network}, 'tcp', 8080) ()",
        f"spans ({of_class}, {guest}) ({span},)",
        f"spans ({of_class}, {network}) ({span},)",
        f"ports (9000, 9010) ({piece},)",
        f"span ({span}, 'tcp', {piece}) ()",
    }


def test_an_address_is_that_of_the_pod_that_came_last() -> None:
    picture = Picture()
    picture.set_namespace("x", {})
    picture.set_policy("x/deny", policy_of(policies.policy("deny", "x", labelled(app="old"))))
    picture.set_pod("old", pod_of(policies.pod("old", "x", "10.0.0.2", app="old"), NODE))
    picture.take()
    assert picture.standings["10.0.0.2"].pod.uid == "x-old"
    picture.set_pod("new", pod_of(policies.pod("new", "x", "10.0.0.2", app="new"), NODE))
    picture.take()
    assert not picture.table
    picture.set_pod("new", None)
    picture.take()
    assert picture.standings["10.0.0.2"].pod.uid == "x-old"
    assert namespace_of(policies.pod("old", "x")) == picture.standings["10.0.0.2"].pod.namespace


def test_a_port_by_name_is_found_in_namespaces_not_heard_of_yet() -> None:
    picture, cluster = Picture(), Cluster(NODE)
    web = policies.pod("web", "x", "10.0.0.2", ports=[{"name": "web", "containerPort": 8080}])
    out = policies.policy(
        "out", "x", labelled(role="client"), policyTypes=["Egress"], egress=[{"ports": [port("web")]}]
    )
    for obj in (web, policies.pod("client", "x", "10.0.0.3", role="client"), out):
        note(cluster, obj, there=True)
    tell(picture, cluster, Cluster(NODE))
    picture.take()
    assert table_lets_pass(picture.table, Flow("10.0.0.3", "10.0.0.2", "TCP", 8080))
    assert not table_lets_pass(picture.table, Flow("10.0.0.3", "10.0.0.2", "TCP", 80))
