"""What a root flow run has submitted: a durable list in the Prefect API.

It outlives processes, machines, task caches and result storage. It is made of flow run inputs of
the root run, which are written once and never changed; Prefect allows one input per run and key,
so that of two executions of one run, one wins. The entries go with the root run. Of submission 7:

    meshflow-intent-00007          before the create call: what is about to be sent, and by whom
    meshflow-batch-00007           after it: the batch
    meshflow-resend-00007-00001    the right to send once more, where certainly nothing was accepted
    meshflow-ended-00007-00000     the call is over, and its sender does not know of a batch
    meshflow-decision-00007-00000  send again without a search: it was refused, or a person says so
    meshflow-beat-00007-00012      the sender is alive; removed when it has its answer

    meshflow-output-123456789      a file is about to be written; the number is that of its place
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import uuid4

import orjson

from meshflow_prefect.processes import this_process

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient

    from meshflow_prefect.lineage import Lineage

OnCancel: TypeAlias = Literal["cancel_batches", "keep"]

_PREFIX = "meshflow"
_PAGE = 200
"""As many rows as the Prefect API returns at once."""


@dataclass(frozen=True)
class Work:
    """What one submission sends, and on which terms."""

    digest: str
    """Digest of the content of the requests, without their ids."""
    ids_digest: str
    """Digest of the custom ids."""
    requests: int
    part: str = ""
    """Names the submission within its flow run; empty where a flow makes any number of them."""
    job_key: str = ""
    """The user's name for the job, under which other runs find it."""
    on_cancel: OnCancel = "cancel_batches"
    job_digest: str = ""
    """Digest of the content of the whole job, where this is one of several chunks of it."""
    block: str = ""
    """Name of the AnthropicCredentials block that was used; empty for the environment's key."""


@dataclass(frozen=True)
class Right:
    """The right of one execution to send one create call."""

    owner: str
    """Random token of the execution."""
    process: str
    """Names its process; empty where the system does not tell."""
    until: str
    """When it gives the call up (ISO 8601, UTC, by the clock of its machine)."""

    @classmethod
    def from_now(cls, seconds: float) -> Right:
        """Return a right of the process that this is."""
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        return cls(uuid4().hex, this_process(), until.isoformat())

    @property
    def ends_at(self) -> datetime:
        """When the owner gives its create call up."""
        return datetime.fromisoformat(self.until)


@dataclass(frozen=True)
class Entry:
    """One submission of a job."""

    number: int
    """Counts the submissions of the root run from 0."""
    work: Work
    intended_at: str
    """When the create call was about to be sent first, by that machine's clock (ISO 8601, UTC)."""
    right: Right
    """Which execution may send the create call."""
    run_ids: tuple[str, ...]
    """The flow run that submitted, and the runs above it up to the root."""
    call_site: str
    newest_before: str | None = None
    """The newest batch of the workspace just before: what was made since is listed before it.
    Empty where there was none, None where it could not be asked."""
    resends: int = 0
    """How often the right to send was given anew, after certainly nothing had been accepted."""
    call_ended: bool = False
    """Whether the owner has said that its create call is over."""
    call_seconds: float = 0.0
    """How long the call took by then."""
    submit_anew: bool = False
    """Whether to send again without looking for a batch: the call was certainly refused, or a
    person decided so."""
    beat: int = 0
    """Grows while the owner waits for the answer to its create call."""
    batch_id: str = ""
    """Empty while the answer to the create call is not recorded."""

    @property
    def submitted_at(self) -> datetime:
        """When the create call was about to be sent first."""
        return datetime.fromisoformat(self.intended_at)


class Ledger:
    """The submissions recorded on one root flow run."""

    def __init__(self, client: PrefectClient, root_id: UUID) -> None:
        self._client = client
        self.root_id = root_id

    async def entries(self) -> list[Entry]:
        """Return all submissions of the root run, in the order of their intents."""
        submissions: dict[int, _Rows] = {}
        for key, value in (await self._rows()).items():
            _, kind, number, *count = key.split("-")
            rows = submissions.setdefault(int(number), {})
            rows[kind, int(count[0]) if count else 0] = orjson.loads(value)
        entries = (_entry(number, rows) for number, rows in sorted(submissions.items()))
        return [entry for entry in entries if entry is not None]

    async def entry(self, number: int) -> Entry | None:
        """Return one submission as it is now; None when its intent was withdrawn."""
        return next((entry for entry in await self.entries() if entry.number == number), None)

    async def record_intent(
        self,
        number: int,
        work: Work,
        lineage: Lineage,
        newest_before: str | None = None,
        *,
        seconds: float = 0.0,
        intended_at: str = "",
    ) -> Entry | None:
        """Write that a create call is about to be sent; None when another execution was first.

        `seconds` is for how long it may take. `intended_at` is for the copy of an entry; left out,
        it is now.
        """
        entry = Entry(
            number=number,
            work=work,
            intended_at=intended_at or datetime.now(UTC).isoformat(),
            right=Right.from_now(seconds),
            run_ids=tuple(str(run.id) for run in lineage.runs),
            call_site=lineage.call_site,
            newest_before=newest_before,
        )
        stored = {
            "work": asdict(work),
            "intended_at": entry.intended_at,
            **asdict(entry.right),
            "run_ids": entry.run_ids,
            "call_site": entry.call_site,
            "newest_before": entry.newest_before,
        }
        return entry if await self._won(_key("intent", number), stored) else None

    async def record_batch(self, entry: Entry, batch_id: str) -> Entry:
        """Write which batch runs `entry`; of several answers the first one stays."""
        kept = await self._write_once(_key("batch", entry.number), {"batch_id": batch_id})
        return replace(entry, batch_id=kept["batch_id"])

    async def claim_resend(self, entry: Entry, *, seconds: float) -> Entry | None:
        """Take the right to send the create call once more; None when another was first."""
        right, resends = Right.from_now(seconds), entry.resends + 1
        if not await self._won(_key("resend", entry.number, resends), asdict(right)):
            return None
        return replace(entry, right=right, resends=resends, call_ended=False, submit_anew=False)

    async def end_call(self, entry: Entry, seconds: float) -> None:
        """Write that the owner's create call is over after so long, and that it knows no batch."""
        key = _key("ended", entry.number, entry.resends)
        await self._write_once(key, {"owner": entry.right.owner, "seconds": seconds})

    async def decide_to_submit_anew(self, entry: Entry) -> None:
        """Write that the create call is to be sent again without looking for a batch."""
        await self._write_once(_key("decision", entry.number, entry.resends), {})

    async def beat(self, entry: Entry, count: int) -> None:
        """Write that the sender of `entry` is alive, in place of the last time."""
        await self._write_once(_key("beat", entry.number, count), {})
        await self.end_beat(entry, count - 1)

    async def end_beat(self, entry: Entry, count: int) -> None:
        """Remove the sender's last sign of life."""
        await self._delete(_key("beat", entry.number, count))

    async def note_output(self, place: str) -> None:
        """Write that a file is about to be written there."""
        await self._write_once(_output_key(place), {})

    async def has_noted_output(self, place: str) -> bool:
        """Whether that was written of a place."""
        return _output_key(place) in await self._rows()

    async def withdraw(self, entry: Entry) -> bool:
        """Remove an intent whose create call was certainly refused, so that it may be repeated.

        All that was written of it goes too: the number is used again. False, and nothing is
        removed, where another execution has taken it over, or has recorded a batch.
        """
        now = await self.entry(entry.number)
        if now is not None and (now.right != entry.right or now.batch_id):
            return False
        intent = _key("intent", entry.number)
        for key in sorted(await self._rows()):
            if int(key.split("-")[2]) == entry.number and key != intent:
                await self._delete(key)
        await self._delete(intent)
        return True

    async def _rows(self) -> dict[str, str]:
        # The filter takes no order and no offset: ask for a page of what has not been seen yet.
        values: dict[str, str] = {}
        while True:
            page = await self._client.filter_flow_run_input(
                self.root_id, key_prefix=f"{_PREFIX}-", limit=_PAGE, exclude_keys=set(values)
            )
            values |= {row.key: row.value for row in page}
            if len(page) < _PAGE:
                return values

    async def _won(self, key: str, value: Mapping[str, Any]) -> bool:
        kept = await self._write_once(key, value)
        # The Prefect client repeats a POST whose answer was lost: an existing row may be our own.
        return bool(kept["owner"] == value["owner"])

    async def _write_once(self, key: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write the row unless it exists, and return what it then holds."""
        from prefect.exceptions import ObjectAlreadyExists, PrefectHTTPStatusError

        while True:
            try:
                await self._client.create_flow_run_input(
                    self.root_id, key=key, value=orjson.dumps(value).decode()
                )
            except ObjectAlreadyExists:
                pass
            except PrefectHTTPStatusError as error:
                if error.response.status_code != HTTPStatus.CONFLICT:
                    raise
            else:
                return value
            try:
                stored = await self._client.read_flow_run_input(self.root_id, key)
            except PrefectHTTPStatusError as error:
                # Withdrawn between the two calls: it is free again.
                if error.response.status_code != HTTPStatus.NOT_FOUND:
                    raise
            else:
                kept: dict[str, Any] = orjson.loads(stored)
                return kept

    async def _delete(self, key: str) -> None:
        from prefect.exceptions import PrefectHTTPStatusError

        try:
            await self._client.delete_flow_run_input(self.root_id, key)
        except PrefectHTTPStatusError as error:
            if error.response.status_code != HTTPStatus.NOT_FOUND:
                raise


_Rows: TypeAlias = dict[tuple[str, int], dict[str, Any]]
"""What is recorded of one submission, by kind and counter."""


def _entry(number: int, rows: _Rows) -> Entry | None:
    intent = rows.get(("intent", 0))
    if intent is None:
        return None
    resends = max((count for kind, count in rows if kind == "resend"), default=0)
    sender = rows["resend", resends] if resends else intent
    right = Right(sender["owner"], sender["process"], sender["until"])
    ended = rows.get(("ended", resends), {})
    return Entry(
        number=number,
        work=Work(**intent["work"]),
        intended_at=intent["intended_at"],
        right=right,
        run_ids=tuple(intent["run_ids"]),
        call_site=intent["call_site"],
        newest_before=intent.get("newest_before"),
        resends=resends,
        # Of another owner it is what a call of a withdrawn intent has left behind.
        call_ended=ended.get("owner") == right.owner,
        call_seconds=ended.get("seconds", 0.0),
        submit_anew=("decision", resends) in rows,
        beat=max((count for kind, count in rows if kind == "beat"), default=0),
        batch_id=rows.get(("batch", 0), {}).get("batch_id", ""),
    )


def _output_key(place: str) -> str:
    return _key("output", int(hashlib.sha256(place.encode()).hexdigest()[:12], 16))


def _key(kind: str, number: int, count: int | None = None) -> str:
    key = f"{_PREFIX}-{kind}-{number:05d}"
    return key if count is None else f"{key}-{count:05d}"
