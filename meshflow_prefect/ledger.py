"""What a root flow run has submitted: a durable list in the Prefect API.

It outlives processes, machines, task caches and result storage. Each submission is two flow run
inputs of the root run, written once and never changed: the *intent* before the create call, and
the *batch* after it. Prefect allows one input per run and key, so that of two executions of one
run, one wins the entry. The entries go with the root run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient

    from meshflow_prefect.lineage import Lineage

_INTENT, _BATCH = "meshflow-intent-", "meshflow-batch-"


@dataclass(frozen=True)
class Entry:
    """One submission of a job."""

    number: int
    """Counts the submissions of the root run from 0."""
    digest: str
    """Digest of the content of the requests, without their ids."""
    ids_digest: str
    """Digest of the custom ids."""
    requests: int
    intended_at: str
    """When the create call was about to be sent, by this machine's clock (ISO 8601, UTC)."""
    owner: str
    """Random token of the execution that wrote the intent."""
    flow_run_id: str
    call_site: str
    parent_id: str
    batch_id: str = ""
    """Empty while the answer to the create call is not recorded."""


class Ledger:
    """The submissions recorded on one root flow run."""

    def __init__(self, client: PrefectClient, lineage: Lineage) -> None:
        self._client = client
        self._lineage = lineage
        self._root_id = lineage.root.id

    async def entries(self) -> list[Entry]:
        """Return all submissions of the root run, in the order of their intents."""
        intents = await self._read(_INTENT)
        if not intents:
            return []
        batches = await self._read(_BATCH)
        return [
            Entry(number=number, **intent, batch_id=batches.get(number, {}).get("batch_id", ""))
            for number, intent in sorted(intents.items())
        ]

    async def record_intent(
        self, number: int, *, digest: str, ids_digest: str, requests: int
    ) -> Entry | None:
        """Write that a create call is about to be sent; None when another execution was first."""
        entry = Entry(
            number=number,
            digest=digest,
            ids_digest=ids_digest,
            requests=requests,
            intended_at=datetime.now(UTC).isoformat(),
            owner=uuid4().hex,
            flow_run_id=str(self._lineage.current.id),
            call_site=self._lineage.call_site,
            parent_id=self._lineage.parent_id,
        )
        stored = asdict(entry)
        del stored["number"], stored["batch_id"]
        kept = await self._write_once(f"{_INTENT}{number:05d}", stored)
        # The Prefect client repeats a POST whose answer was lost: an existing row may be our own.
        return entry if kept["owner"] == entry.owner else None

    async def record_batch(self, entry: Entry, batch_id: str) -> Entry:
        """Write which batch the create call of `entry` made."""
        await self._write_once(f"{_BATCH}{entry.number:05d}", {"batch_id": batch_id})
        return replace(entry, batch_id=batch_id)

    async def withdraw(self, entry: Entry) -> None:
        """Remove an intent whose create call was certainly refused, so that it may be repeated."""
        await self._client.delete_flow_run_input(self._root_id, f"{_INTENT}{entry.number:05d}")

    async def _read(self, prefix: str) -> dict[int, dict[str, Any]]:
        # The filter takes no order and no offset: ask for a page of what has not been seen yet.
        rows: dict[str, dict[str, Any]] = {}
        page = None
        while page is None or page:
            page = await self._client.filter_flow_run_input(
                self._root_id, key_prefix=prefix, limit=200, exclude_keys=set(rows)
            )
            rows |= {row.key: orjson.loads(row.value) for row in page}
        return {int(key.removeprefix(prefix)): value for key, value in rows.items()}

    async def _write_once(self, key: str, value: dict[str, Any]) -> dict[str, Any]:
        """Write the row unless it exists, and return what it then holds."""
        from prefect.exceptions import ObjectAlreadyExists, PrefectHTTPStatusError

        try:
            await self._client.create_flow_run_input(
                self._root_id, key=key, value=orjson.dumps(value).decode()
            )
        except ObjectAlreadyExists:
            pass
        except PrefectHTTPStatusError as error:
            if error.response.status_code != HTTPStatus.CONFLICT:
                raise
        else:
            return value
        stored: dict[str, Any] = orjson.loads(
            await self._client.read_flow_run_input(self._root_id, key)
        )
        return stored


class Claims:
    """Which entries have been taken in this process, so that no two submissions share a batch.

    A process makes the submissions of a replay one after another; each takes the first entry that
    fits. A run that is retried in the same process starts over, and so gives back what was taken
    by it and below it.
    """

    def __init__(self) -> None:
        self._takers: dict[tuple[UUID, int], Lineage] = {}

    def take(self, lineage: Lineage, entry: Entry) -> None:
        """Note that the current attempt of the current run uses the entry."""
        self._takers[lineage.root.id, entry.number] = lineage

    def is_free(self, lineage: Lineage, entry: Entry) -> bool:
        """Whether no other submission of these attempts uses the entry."""
        taker = self._takers.get((lineage.root.id, entry.number))
        if taker is None:
            return True
        attempts = {run.id: run.run_count for run in taker.runs}
        return any(attempts.get(run.id, run.run_count) != run.run_count for run in lineage.runs)


def match(entries: Iterable[Entry], lineage: Lineage, digest: str, *, sole: bool) -> Entry | None:
    """Return which of the free entries a submission repeats, or None when it is a new one.

    1. An entry that this flow run made, or an earlier run of the same call in the same parent.
       `sole` says that the run makes its submissions for one job, so that its entry is found even
       where a redeploy has changed the content.
    2. An entry of the same content from somewhere else under the root: the run that made it was
       replaced by a fresh one (a parent was retried), or cannot be told from its siblings.
    """
    me, site = str(lineage.current.id), lineage.call_site
    candidates = list(entries)
    own = [e for e in candidates if e.flow_run_id == me or (site and e.call_site == site)]
    for entry in own:
        if entry.digest == digest:
            return entry
    if sole and own:
        return own[0]
    for entry in candidates:
        replaced = entry.parent_id != lineage.parent_id or not entry.call_site
        if entry.digest == digest and entry not in own and replaced:
            return entry
    return None
