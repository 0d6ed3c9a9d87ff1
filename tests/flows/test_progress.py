"""What a wait in the process shows."""

from __future__ import annotations

import re

import pytest

from meshflow_prefect import batch_agent_tasks, poll_batch, submit_batch
from tests.support.jobs import SOON, requests


@pytest.mark.anthropic_emulator(batch_seconds=5)
async def test_a_wait_logs_each_status_once_where_there_is_no_terminal(caplog):
    batch_id = await submit_batch(requests(2))

    await poll_batch(batch_id, poll_interval=0.5)

    said = [record.getMessage() for record in caplog.records if record.name.endswith("meshflow")]
    assert len(said) == 1
    assert re.match(rf"{batch_id} is in progress \(2 requests\); next check at \d\d:", said[0])


@pytest.mark.anthropic_emulator(batch_seconds=1.5)
async def test_a_wait_shows_its_progress_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    batch_id = await submit_batch(requests(2))

    await poll_batch(batch_id, poll_interval=0.5)

    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert re.search(
        rf"0:00:0\d elapsed · {batch_id} is in progress \(2 requests\) · next check in \d s", shown
    )


async def test_rows_that_failed_are_named_in_the_log(caplog):
    await batch_agent_tasks(["One.", "Two."], agent_model="claude-nobody", poll_interval=SOON)

    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any(
        said.startswith("2 rows") and "not_found_error: model: claude-nobody" in said
        for said in warnings
    )
