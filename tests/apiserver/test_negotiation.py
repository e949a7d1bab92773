from __future__ import annotations

import pytest

from sampan.api.errors import StatusError
from sampan.apiserver.negotiation import DISCOVERY, JSON, PLAIN, YAML, Form, choose

KUBECTL = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,"
    "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        ("application/json;stream=watch", PLAIN),
        ("application/vnd.kubernetes.protobuf,application/json", PLAIN),
        ("application/vnd.kubernetes.protobuf, */*", PLAIN),
        ("application/yaml", Form(YAML)),
        ("application/yaml;q=0.5, application/json", PLAIN),
        (KUBECTL, Form(JSON, "Table", "v1")),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", PLAIN),
        (
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            Form(JSON, "PartialObjectMetadata", "v1"),
        ),
    ],
)
def test_the_first_form_that_is_served(accept: str, form: Form) -> None:
    assert choose(accept) == form


@pytest.mark.parametrize("accept", ["application/cbor", "text/html", "application/json;as=Odd;g=x;v=v1"])
def test_nothing_that_is_served(accept: str) -> None:
    with pytest.raises(StatusError) as caught:
        choose(accept)
    assert caught.value.code == 406


def test_discovery_has_a_form_of_its_own() -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    assert choose(accept, True) == Form(JSON, DISCOVERY, "v2")
    assert choose(accept) == PLAIN
