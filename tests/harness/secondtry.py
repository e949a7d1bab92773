"""A test on a real node that fails is tried once more, on a node made anew, and the summary says so by name.

As upstream's end-to-end runs allow flake attempts: a real node shares its machine with others,
and a container that got no processor for seconds is no news of sampan. What fails twice has failed;
so has what fails while many do (TESTS), which is no bad luck. Tests without a node get no second try.
"""

from __future__ import annotations

import pytest
from _pytest.runner import runtestprotocol

TESTS = 5


class SecondTry:
    """The pytest plugin: owns each attempt of a test marked `node`."""

    def __init__(self) -> None:
        self._tried: list[str] = []
        self._lucky: dict[str, list[pytest.TestReport]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if item.get_closest_marker("node") is None or len(self._tried) == TESTS:
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        first = runtestprotocol(item, log=False, nextitem=nextitem)
        if any(report.failed for report in first):
            self._once_more(item, nextitem, [report for report in first if report.failed])
        else:
            _tell(item, first)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _once_more(
        self, item: pytest.Item, nextitem: pytest.Item | None, why: list[pytest.TestReport]
    ) -> None:
        """Nothing stays of the first try: every fixture is ended, the node's own too."""
        self._tried.append(item.nodeid)
        try:
            item.session._setupstate.teardown_exact(None)
        except Exception as error:  # what the first try left half done is part of its failure
            why[-1].sections.append(("in clearing it away", repr(error)))
        second = runtestprotocol(item, log=False, nextitem=nextitem)
        _tell(item, second)
        if not any(report.failed for report in second):
            self._lucky[item.nodeid] = why

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._lucky:
            return
        terminalreporter.section("passed only at the second try")
        for name, reports in self._lucky.items():
            terminalreporter.write_line(f"passed only at the second try: {name}", yellow=True)
            for report in reports:
                terminalreporter.write_line(f"in its first {report.when}:")
                terminalreporter.write_line(report.longreprtext)


def _tell(item: pytest.Item, reports: list[pytest.TestReport]) -> None:
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
