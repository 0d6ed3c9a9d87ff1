"""Batches live on disk: they survive a restart, and they do not fill the memory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from meshflow_prefect.emulator import Emulator, EmulatorSettings
from tests.emulator.wire import BATCHES, client_of, create, lines_of, params, run, status_of


def test_batches_and_time_survive_a_restart(tmp_path: Path) -> None:
    keywords = {"directory": tmp_path / "kept", "clock": "stepped", "batch_seconds": 100}
    with Emulator(**keywords) as emulator, client_of(emulator) as api:
        ended = create(api, params(), params(model="x"))["id"]
        emulator.advance(100)
        before = lines_of(api, ended)
        cancelled = create(api)["id"]
        api.post(f"{BATCHES}/{cancelled}/cancel")
        running = create(api)["id"]
        emulator.advance(50)
        shown = [status_of(api, each) for each in (ended, cancelled, running)]
        now = emulator.state()["clock"]["now"]
    with Emulator(**keywords) as emulator, client_of(emulator) as api:
        assert emulator.state()["clock"]["now"] == now
        assert lines_of(api, ended) == before
        again = [status_of(api, each) for each in (ended, cancelled, running)]
        for batch in (*shown, *again):
            batch["results_url"] = batch["results_url"] and "another port"
        assert again == shown
        assert [batch["id"] for batch in emulator.batches()] == [running, cancelled, ended]
        emulator.advance(50)
        assert status_of(api, running)["processing_status"] == "ended"


def test_the_replies_of_a_batch_after_a_restart_are_those_without_one(tmp_path: Path) -> None:
    def replies(directory: Path, *, restart: bool) -> list[dict[str, Any]]:
        found = []
        for start in ((0,), (1,)) if restart else ((0, 1),):
            with Emulator(directory=directory) as emulator, client_of(emulator) as api:
                found += [run(emulator, api, params("Go."))[0] for _ in start]
        return found

    apart = replies(tmp_path / "apart", restart=True)
    assert apart == replies(tmp_path / "together", restart=False)
    assert apart[0]["message"]["id"] != apart[1]["message"]["id"]


def test_half_a_body_is_swept_away_at_the_next_start(tmp_path: Path) -> None:
    left = tmp_path / "incoming" / "msgbatch_half"
    left.mkdir(parents=True)
    with Emulator(directory=tmp_path) as emulator:
        assert emulator.batches() == []
    assert not left.exists()


def test_a_temporary_directory_is_removed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Emulator() as emulator, client_of(emulator) as api:
        create(api)
        assert list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "", "::"])
def test_only_loopback_is_listened_on(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        EmulatorSettings(host=host)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("speed", 0),
        ("batch_seconds", 0),
        ("cancel_seconds", -1),
        ("clock", "cuckoo"),
        ("counts", "never"),
        ("port", 70_000),
        ("port", "80"),
        ("speed", float("inf")),
        ("batch_seconds", "5"),
        ("api_keys", "sk-test-key"),
        ("api_keys", ("",)),
        ("extra_models", "one"),
        ("requests_per_minute", 0),
        ("maximum_requests", 0),
        ("queue_limit", -1),
        ("reply_words", -1),
        ("concurrent_requests", None),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=re.escape(name)):
        EmulatorSettings(**{name: value})


def test_a_directory_may_be_given_as_a_text(tmp_path: Path) -> None:
    with Emulator(directory=str(tmp_path / "kept")) as emulator:  # type: ignore[arg-type]
        assert emulator.batches() == []
