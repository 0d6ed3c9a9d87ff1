"""A disk that is full: which folder it is and what helps is told, and the job goes on later."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from tests.support.files import read_rows

LIMITED = textwrap.dedent(
    """
    import asyncio, resource, signal, sys
    from meshflow_prefect import batch_file

    source, destination, most = sys.argv[1:]
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if int(most):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), resource.RLIM_INFINITY))
    asyncio.run(batch_file(source, destination, prompt="{text}", job_key=source, poll_interval=0.1))
    """
)


@pytest.mark.anthropic_emulator(batch_seconds=0.1, reply_words=300)
@pytest.mark.parametrize(
    ("most", "batches", "folder"),
    [(15_000, 0, "/job-"), (100_000, 1, "/results-")],
    ids=["no room for the requests", "no room for the results"],
)
def test_a_full_disk_is_told_with_what_helps_and_costs_nothing(
    stack, emulator, tmp_path, most, batches, folder
):
    source, destination = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    texts = [f"{n} {'x' * 200}" for n in range(100)]
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    env = {**stack.env, **emulator.environment(), "MESHFLOW_SPOOL": str(tmp_path / "spools")}

    def run(most: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", LIMITED, source, destination, str(most)]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    failed = run(most)

    *_, said = (line for line in failed.stderr.splitlines() if line.startswith("OSError"))
    assert said.startswith("OSError: [Errno 27] File too large: a job keeps its requests and")
    assert "name another folder with MESHFLOW_SPOOL" in said
    assert str(tmp_path / "spools") in said
    assert folder in said
    assert len(emulator.batches()) == batches
    ended = run(0)
    assert ended.returncode == 0, ended.stderr
    assert [batch["requests"] for batch in emulator.batches()] == [100]
    assert [row["custom_id"] for row in read_rows(destination)] == [str(n) for n in range(100)]
