"""One kind of objects through the official Python client, by the verbs' names."""

from __future__ import annotations

from typing import Any

from kubernetes.client.rest import ApiException

from harness.node import eventually


class Kind:
    """`api.read_csi_driver` and so on as `kind.read`; in a namespace if one is given."""

    def __init__(self, api: Any, name: str, namespace: str = "") -> None:
        self._api, self._namespace = api, namespace
        self._name = f"namespaced_{name}" if namespace else name

    def create(self, body: Any) -> Any:
        return self._call("create", body)

    def read(self, name: str) -> Any:
        return self._call("read", name=name)

    def list(self, selector: str = "") -> list[Any]:
        return list(self._call("list", label_selector=selector).items)

    def patch(self, name: str, change: Any) -> Any:
        return self._call("patch", change, name=name)

    def label(self, name: str, **labels: str) -> Any:
        """By PATCH."""
        return self.patch(name, {"metadata": {"labels": labels}})

    def relabel(self, name: str, **labels: str) -> Any:
        """By PUT; again if somebody else was quicker."""

        def replaced() -> Any:
            seen = self.read(name)
            seen.metadata.labels = {**(seen.metadata.labels or {}), **labels}
            try:
                return self._call("replace", seen, name=name)
            except ApiException as error:
                assert error.status == 409, error
                return None

        return eventually(replaced)

    def delete(self, name: str) -> None:
        self._call("delete", name=name)

    def delete_all(self, selector: str) -> None:
        self._call("delete_collection", label_selector=selector)

    def is_gone(self, name: str) -> bool:
        try:
            self.read(name)
        except ApiException as error:
            return bool(error.status == 404)
        return False

    def gone(self, name: str) -> None:
        eventually(lambda: self.is_gone(name))

    def _call(self, verb: str, *body: Any, **named: Any) -> Any:
        where = [self._namespace] if self._namespace else []
        first = [named.pop("name")] if "name" in named else []
        return getattr(self._api, f"{verb}_{self._name}")(*first, *where, *body, **named)
