from sampan.api.resources import DEPLOYMENTS, resource
from sampan.apiserver import unattended

JOBS = resource("batch", "v1", "jobs")


def test_the_author_of_what_nobody_acts_on_is_told():
    (told,) = unattended.warnings("create", JOBS)
    assert told == "sampan has no controller of Jobs yet: the object is kept, but no Pods are made for it"


def test_nothing_is_said_of_what_works_nor_twice():
    assert unattended.warnings("create", DEPLOYMENTS) == ()
    assert unattended.warnings("update", JOBS) == ()


def test_each_line_is_of_a_kind_that_is_served():
    for group, plural in unattended._TOLD:
        version = "v2" if group == "autoscaling" else "v1"
        assert unattended.warnings("create", resource(group, version, plural))
