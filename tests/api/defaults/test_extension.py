from sampan.api import defaults
from sampan.api.objects import Obj
from sampan.api.resources import resource

DEFINITIONS = resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")
SERVICES = resource("apiregistration.k8s.io", "v1", "apiservices")


def definition(**spec: object) -> Obj:
    obj: Obj = {"spec": {"names": {"plural": "cronTabs", "kind": "CronTab"}, **spec}}
    defaults.apply(DEFINITIONS, obj)
    return obj


def test_names_follow_from_the_kind() -> None:
    assert definition()["spec"]["names"] == {
        "plural": "cronTabs",
        "kind": "CronTab",
        "singular": "crontab",
        "listKind": "CronTabList",
    }


def test_given_names_stay_and_without_a_kind_nothing_is_made_up() -> None:
    given = {"kind": "CronTab", "singular": "tab", "listKind": "Tabs"}
    assert definition(names=dict(given))["spec"]["names"] == given
    assert definition(names={"plural": "x"})["spec"]["names"] == {"plural": "x"}


def test_the_stored_version_is_the_one_marked_for_storage() -> None:
    versions = [{"name": "v1alpha1", "storage": False}, {"name": "v1", "storage": True}]
    assert definition(versions=versions)["status"]["storedVersions"] == ["v1"]


def test_conversion_is_none_and_a_webhooks_service_listens_on_443() -> None:
    assert definition()["spec"]["conversion"] == {"strategy": "None"}
    webhook = {"strategy": "Webhook", "webhook": {"clientConfig": {"service": {"name": "s"}}}}
    service = definition(conversion=webhook)["spec"]["conversion"]["webhook"]["clientConfig"]["service"]
    assert service == {"name": "s", "port": 443}


def test_an_api_service_listens_on_443() -> None:
    obj: Obj = {"spec": {"service": {"name": "s"}}}
    defaults.apply(SERVICES, obj)
    assert obj["spec"]["service"]["port"] == 443
