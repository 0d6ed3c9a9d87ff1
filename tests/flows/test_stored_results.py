"""What is persisted of a batch's results: whole and right, or nothing at all."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from prefect import flow
from prefect.context import FlowRunContext
from prefect.filesystems import LocalFileSystem
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH

from meshflow_prefect import collect_results, collecting, poll_batch, submit_batch
from meshflow_prefect.flow_type import batch_flow
from tests.support.jobs import SOON, requests
from tests.support.rows import file, good, serve

IDS = ["row-0", "row-1"]
RESULTS = "GET /v1/messages/batches/{id}/results"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(collecting, "PAUSES", (0.01,) * 5)


@pytest.fixture
def storage() -> Path:
    return Path(PREFECT_LOCAL_STORAGE_PATH.value())


async def ended_batch(count: int = 2) -> str:
    batch_id = await submit_batch(requests(count))
    await poll_batch(batch_id, poll_interval=SOON)
    return batch_id


@flow
async def collects(batch_id: str, count: int = 2) -> list[str]:
    results = await collect_results(batch_id, requests(count))
    return [result.custom_id for result in results if result.succeeded]


DIES_WHILE_IT_WRITES = textwrap.dedent(
    """
    import asyncio, resource, signal, sys
    from tests.flows.test_stored_results import collects

    # The kernel ends the process in the middle of its first write behind the first 200 kB.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    asyncio.run(collects(sys.argv[1], 1000))
    """
)


async def test_a_process_that_dies_while_it_writes_leaves_no_half_result(stack, emulator, storage):
    batch_id = await ended_batch(1000)
    env = {**stack.env, **emulator.environment(), "PREFECT_LOCAL_STORAGE_PATH": str(storage)}
    command = [sys.executable, "-c", DIES_WHILE_IT_WRITES, batch_id]
    died = await asyncio.to_thread(
        subprocess.run, command, env=env, check=False, capture_output=True, timeout=120
    )

    assert died.returncode == -signal.SIGXFSZ, died.stderr.decode()
    (part,) = storage.glob(".meshflow-results-*")
    assert (part.suffix, part.stat().st_size) == (".part", 200_000)

    assert await collects(batch_id, 1000) == [f"row-{n}" for n in range(1000)]
    assert await collects(batch_id, 1000) == [f"row-{n}" for n in range(1000)]
    whole = storage.glob("meshflow-results-*")
    assert [path.name for path in whole] == [part.name.split(".")[1]]
    assert emulator.state()["calls"][RESULTS] == 2, "once by the process that died"


@pytest.mark.parametrize("kept", [0, 1, 0.5, -1])
async def test_a_half_result_of_another_writer_is_read_from_the_api_again(emulator, storage, kept):
    batch_id = await ended_batch()
    assert await collects(batch_id) == IDS
    (path,) = storage.glob("meshflow-results-*")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept) if 0 < kept < 1 else kept])

    assert await collects(batch_id) == IDS

    assert emulator.state()["calls"][RESULTS] == 2
    assert len(path.read_bytes()) == len(whole)


async def test_a_result_that_lacks_rows_is_not_remembered_and_the_run_says_why(
    scripted, storage, caplog
):
    batch_id = await ended_batch()
    lacking = file(good("row-0")[:-3], good("row-1"), good("other"), b"\x00")
    left = serve(scripted, [lacking] * 3)

    with caplog.at_level(logging.WARNING):
        assert await collects(batch_id) == ["row-1"]

    assert left == []
    assert f"Batch {batch_id}: 2 lines of the results cannot be read." in caplog.text
    assert "1 row of the results left out" in caplog.text
    assert "such as 'other'" in caplog.text
    assert list(storage.glob("meshflow-results-*")) == []
    assert await collects(batch_id) == IDS


async def test_the_result_of_a_flow_of_this_package_is_written_whole_as_well(storage):
    @batch_flow(lambda *_: True, name="own", persist_result=True)
    async def own(batch_id: str) -> list[str]:
        store = FlowRunContext.get().result_store
        kinds = [type(store.result_storage).__name__]
        await collect_results(batch_id, IDS)
        return [*kinds, type(store.result_storage).__name__]

    state = await own(await ended_batch(), return_state=True)

    assert await state.aresult() == ["LocalFileSystem", "AtomicFileSystem"]
    assert state.data.metadata.storage_key in {str(path) for path in storage.iterdir()}


async def test_a_storage_that_somebody_configured_is_used_as_it_is(stack, storage, tmp_path):
    await LocalFileSystem(basepath=str(tmp_path)).save("of-test-storage", overwrite=True)
    block = await LocalFileSystem.aload("of-test-storage")

    @flow(result_storage=block)
    async def configured(batch_id: str) -> list[str]:
        state = await collect_results(batch_id, IDS, return_state=True)
        assert state.data.metadata.storage_block_id == block._block_document_id
        return [result.custom_id for result in await state.aresult()]

    batch_id = await ended_batch()
    assert await configured(batch_id) == await configured(batch_id) == IDS

    assert len(list(tmp_path.glob("meshflow-results-*"))) == 1
    assert list(storage.glob("meshflow-results-*")) == []
