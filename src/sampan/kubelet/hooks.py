"""postStart and preStop handlers: exec, httpGet, sleep.

Source: concepts/containers/container-lifecycle-hooks.
"""

from __future__ import annotations

import asyncio

from sampan.api.objects import Obj
from sampan.kubelet import httpget
from sampan.kubelet.network.contract import Namespace
from sampan.kubelet.probers import Target, port_number, run_command
from sampan.kubelet.runtime.contract import Runtime, RuntimeFault


class HookFailed(Exception):
    """The text is fit for an Event."""


class Hooks:
    def __init__(self, runtime: Runtime, netns: Namespace) -> None:
        self._runtime, self._netns = runtime, netns

    async def run(self, target: Target, handler: Obj) -> None:
        """Returns when the handler has succeeded; raises HookFailed. The caller sets the deadline."""
        if (action := handler.get("exec")) is not None:
            await self._exec(target, action.get("command") or [])
        elif (action := handler.get("httpGet")) is not None:
            await self._http_get(target, action)
        elif (action := handler.get("sleep")) is not None:
            await asyncio.sleep(float(action["seconds"]))
        else:
            # tcpSocket is taken for old times' sake and fails when used (API reference, LifecycleHandler).
            raise HookFailed(f"invalid handler: {', '.join(handler) or 'none'}")

    async def _exec(self, target: Target, command: list[str]) -> None:
        try:
            code, output = await run_command(self._runtime, target.container_id, command, None)
        except RuntimeFault as fault:
            raise HookFailed(fault.message) from fault
        if code != 0:
            line = " ".join(command)
            raise HookFailed(f"command '{line}' exited with {code}: {output}")

    async def _http_get(self, target: Target, action: Obj) -> None:
        port = port_number(target.container, action.get("port") or 80)
        if port is None:
            raise HookFailed(f'couldn\'t find port "{action["port"]}" in container')
        headers = httpget.headers_of(action)
        scheme, host = action.get("scheme", "HTTP"), action.get("host") or target.ip
        try:
            answer = await httpget.get(self._netns, scheme, host, port, action.get("path") or "/", headers)
        except httpget.Unanswered as error:
            raise HookFailed(str(error)) from error
        if not 200 <= answer.code < 400:
            raise HookFailed(f"HTTP hook failed with statuscode: {answer.code}")
