"""Persisted results on the local disk: whole or not there, whenever the process or the power ends.

Prefect writes a result to its final name, and tells its server of it without waiting for the disk.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from prefect.context import FlowRunContext
from prefect.filesystems import LocalFileSystem
from prefect.results import ResultStore
from prefect.transactions import get_transaction

from meshflow_prefect.flow_type import BatchFlow
from meshflow_prefect.whole_files import whole_file


class AtomicFileSystem(LocalFileSystem):
    """A local file system whose files appear under their name when they are whole and on disk.

    Never saved, and so never registered: what it wrote, Prefect reads with its own LocalFileSystem.
    A process that is killed while it writes leaves a hidden `….part` file, which nobody reads.
    """

    _block_type_name = "Atomic Local File System"
    _block_type_slug = "meshflow-atomic-local-file-system"

    async def awrite_path(self, path: str, content: bytes) -> str:
        """Write a file, move it into place, and return its absolute path."""
        return await asyncio.to_thread(self.write_path, path, content)

    # Prefect says `_sync` to the form that its own class dispatches with; here it is always so.
    def write_path(self, path: str, content: bytes, **_: Any) -> str:  # type: ignore[override]
        """Do as `awrite_path` does, in this thread."""
        base = Path(self.basepath or ".").expanduser().resolve()
        # An absolute path replaces the base.
        target = (base / Path(path).expanduser()).resolve()
        if base not in target.parents:
            raise ValueError(f"{target} is outside of the base path {base}.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as file:
            file.write(content)
        return str(target)


def write_whole_or_not_at_all() -> None:
    """Have the result of the current task run written so, where its storage is the local default.

    In a flow of this package the flow's own result too. A storage that somebody has configured is
    left alone: a block that is saved, or one of another kind.
    """
    transaction, flow_run = get_transaction(), FlowRunContext.get()
    if transaction is not None and isinstance(transaction.store, ResultStore):
        _make_atomic(transaction.store)
    if flow_run is not None and isinstance(flow_run.flow, BatchFlow):
        _make_atomic(flow_run.result_store)


def _make_atomic(store: ResultStore) -> None:
    storage = store.result_storage
    if type(storage) is LocalFileSystem and store.result_storage_block_id is None:
        store.result_storage = AtomicFileSystem(basepath=storage.basepath)
