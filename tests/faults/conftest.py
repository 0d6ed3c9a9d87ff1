"""The rig that runs are killed on, and the matrix that every test of a fault adds to."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

import pytest

from tests.faults.matrix import Matrix, Row
from tests.support.rig import Rig, rigged

_MATRIX = pytest.StashKey[Matrix]()


# For one module: this process, too, talks to the rig's server while it stands.
@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A server, a worker and an emulator, with tripwires in front of both APIs."""
    with rigged(tmp_path_factory.mktemp("rig"), wired=True) as running:
        yield running


@pytest.fixture
def matrix(request: pytest.FixtureRequest) -> Callable[[Row], None]:
    """Record what a fault came to, as a row of `docs/faults.md`.

    Call it at the end of the test, once for each fault that the test injected:

    ```python
    def test_an_overloaded_api_is_asked_again(in_process, matrix):
        ...
        matrix(
            Row(
                group="create",  # or wait, collect, kills, cancel
                fault="429 on the create call, three times",
                seen="Completed, after retries",
                created=len(emulator.batches()),
                paid=1,
                lost=0,
            )
        )
    ```

    The numbers are counted, not known: take them from the emulator and the rows. Only rows of
    tests that pass reach the page, which `pytest tests/faults --write-matrix` (`make faults`)
    writes at the end of the session; without the option nothing is written. Rows keep the order
    of the tests within their group.
    """
    collected = _matrix_of(request.config)
    return lambda row: collected.record(request.node.nodeid, row)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note which tests have passed."""
    report = yield
    if report.when == "call" and report.passed:
        _matrix_of(item.config).passed(item.nodeid)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the page, when asked to."""
    if session.config.getoption("--write-matrix"):
        _matrix_of(session.config).write(session.config.rootpath / "docs" / "faults.md")


def _matrix_of(config: pytest.Config) -> Matrix:
    return config.stash.setdefault(_MATRIX, Matrix())
