from sampan.api import defaults
from sampan.api.objects import Obj
from sampan.api.resources import resource

GROUP = "rbac.authorization.k8s.io"


def test_a_binding_speaks_of_roles_users_and_groups_of_rbac_and_of_service_accounts_of_the_core() -> None:
    for plural in ("rolebindings", "clusterrolebindings"):
        obj: Obj = {
            "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [
                {"kind": "User", "name": "u"},
                {"kind": "Group", "name": "g"},
                {"kind": "ServiceAccount", "name": "s"},
                {"kind": "User", "name": "o", "apiGroup": "other"},
            ],
        }
        defaults.apply(resource(GROUP, "v1", plural), obj)
        assert obj["roleRef"]["apiGroup"] == GROUP
        assert [subject.get("apiGroup") for subject in obj["subjects"]] == [GROUP, GROUP, None, "other"]
