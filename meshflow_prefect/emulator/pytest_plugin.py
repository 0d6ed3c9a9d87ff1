"""A pytest fixture with an emulator of the Message Batches API, for your own tests.

It is loaded only where it is asked for, in the `conftest.py` at the root of your tests:

```python
pytest_plugins = ["meshflow_prefect.emulator.pytest_plugin"]
```

A test that takes `anthropic_emulator` has an emulator of its own, and `ANTHROPIC_BASE_URL` and
`ANTHROPIC_API_KEY` point at it, so that SDKs, flows and child processes find it by themselves.
The clock is real and a batch takes a fifth of a second:

```python
async def test_my_flow_summarizes(anthropic_emulator):
    rows = await batch_agent_tasks(["Summarize this."], poll_interval=0.1)
    assert rows[0].succeeded
    assert len(anthropic_emulator.batches()) == 1
```

A marker chooses other settings, by the names of `EmulatorSettings`. With a stepped clock nothing
happens until the test says so:

```python
@pytest.mark.anthropic_emulator(batch_seconds=3600, clock="stepped")
def test_the_wait(anthropic_emulator):
    ...
    anthropic_emulator.advance(3600)
```

What is to go wrong is planned before it happens (see `EmulatorClient.plan`):

```python
def test_a_lost_answer(anthropic_emulator):
    anthropic_emulator.plan({"on": "create", "status": 500, "accept": True})
    ...
    assert anthropic_emulator.faults()[0]["fired"] == 1
```
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from meshflow_prefect.emulator.server import Emulator
from meshflow_prefect.emulator.settings import EmulatorSettings

_BATCH_SECONDS = 0.2


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known to `--strict-markers`."""
    config.addinivalue_line(
        "markers",
        "anthropic_emulator(**settings): settings for the fixture anthropic_emulator, "
        "by the names of meshflow_prefect.emulator.EmulatorSettings",
    )


@pytest.fixture
def anthropic_emulator(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Emulator]:
    """Yield an emulator of the Message Batches API; the environment points at it."""
    marker = request.node.get_closest_marker("anthropic_emulator")
    chosen = {} if marker is None else marker.kwargs
    settings = EmulatorSettings(**{"batch_seconds": _BATCH_SECONDS, **chosen})
    with Emulator(settings) as emulator:
        for name, value in emulator.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("ANTHROPIC_AUTH_TOKEN", raising=False)
        yield emulator
