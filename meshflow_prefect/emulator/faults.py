"""The fault plan: what is to go wrong, with which calls and rows, and how often it has.

A plan is a list of faults, each a JSON object. `EmulatorClient.plan` adds to it, over
`POST /emulator/faults` with `{"faults": [...]}`; `GET` shows it, with how often each fault has
`fired` and how many calls it has `held` at present; `DELETE` clears it.

A fault of a call says `on` which call: "create", "retrieve", "list", "results", "cancel",
"delete", "messages", "count_tokens" or "any". More fields choose the calls:

- `batch_id`: only calls about this batch;
- `skip`: so many calls pass first (0);
- `times`: it applies to so many calls (1); null is every call until the plan is cleared.

And these say what happens to them:

- `status`: the answer is this error (400 to 599). `error` is its type and `message` its text, by
  default those that the API has for the status; `headers` and `details` (in the error) add to it;
- `drop`: the connection is closed without an answer;
- `accept`: with `status` or `drop`, the call is carried out all the same, and only its true
  answer is lost. Otherwise it is not carried out;
- `cut_after`: so many bytes of the body are sent, and then the connection breaks;
- `truncate_after`: so many bytes of the body are sent, and then the answer ends as if complete;
- `results_url`: batches in the answer have this address, whether or not they have ended;
- `delay`: so many seconds of real time pass before the call is looked at;
- `hold`: "before" it is carried out, or "after" that, the call waits for `EmulatorClient.release`.

Of `status`, `drop`, `cut_after`, `truncate_after` and `results_url` a fault has at most one;
`delay` and `hold` go with each of them. A call whose client leaves before it is carried out is not
carried out any more. The first fault of the plan that applies has the call, and the later ones do
not see it. Clearing the plan releases held calls; a reset breaks them off.

- `away`: the API is not there for so many seconds of the emulator's clock, from now. `how` is
  "drop" or "status" (503, or what `status` says). It comes before the rest of the plan.

In the call log, a call without an answer has the status 0, and one whose client left has 499.
Faults of rows (`"on": "rows"`) are in `row_faults`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from meshflow_prefect.emulator.batch_outcomes import BatchOutcomes
from meshflow_prefect.emulator.damage import Damage
from meshflow_prefect.emulator.operations import SHOWING_BATCHES, Call
from meshflow_prefect.emulator.row_faults import DamageFault, OutcomeFault
from meshflow_prefect.emulator.wire import ApiError

MOST_FAULTS = 1_000


@dataclass(frozen=True, kw_only=True)
class ErrorAnswer:
    """An error that takes the place of the true answer."""

    status: int
    error: str
    message: str
    headers: Mapping[str, str]
    details: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class Action:
    """What happens to a call."""

    delay: float = 0.0
    hold: Literal["before", "after"] | None = None
    accept: bool = False
    answer: ErrorAnswer | None = None
    drop: bool = False
    cut_after: int | None = None
    truncate_after: int | None = None
    results_url: str | None = None

    @property
    def replaces_answer(self) -> bool:
        """Whether the client never sees the true answer."""
        return self.drop or self.answer is not None


@dataclass(kw_only=True, eq=False)
class CallFault:
    """A fault of calls, and what has come of it."""

    given: Mapping[str, Any]
    on: str
    action: Action
    batch_id: str | None = None
    skip: int = 0
    times: int | None = 1
    until: float | None = None
    """When an API that is away comes back, in emulated time."""

    seen: int = field(default=0, init=False)
    fired: int = field(default=0, init=False)
    held: int = field(default=0, init=False)

    def takes(self, call: Call, now: float) -> bool:
        """Whether this call is one of those that it applies to; it is counted."""
        if not self._matches(call):
            return False
        if self.until is not None and now >= self.until:
            return False
        if self.times is not None and self.fired >= self.times:
            return False
        self.seen += 1
        if self.seen <= self.skip:
            return False
        self.fired += 1
        return True

    def _matches(self, call: Call) -> bool:
        if self.on not in ("any", call.operation) or self.batch_id not in (None, call.batch_id):
            return False
        return self.action.results_url is None or call.operation in SHOWING_BATCHES

    def shown(self) -> dict[str, Any]:
        """Return the fault as it was told, and its counts."""
        return {**self.given, "fired": self.fired, "held": self.held}


Fault = CallFault | OutcomeFault | DamageFault
_Kind = TypeVar("_Kind", CallFault, OutcomeFault, DamageFault)


class FaultPlan:
    """The faults of an emulator, in the order in which they were told."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def __len__(self) -> int:
        return len(self._faults)

    def add(self, faults: Iterable[Fault]) -> None:
        """Append to the plan."""
        longer = [*self._faults, *faults]
        if len(longer) > MOST_FAULTS:
            raise ApiError(
                "invalid_request_error",
                f"faults: the plan would have {len(longer)} faults, and it has at most "
                f"{MOST_FAULTS}, also counting those that have fired: clear it first",
            )
        self._faults = longer

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        self._faults = []

    def shown(self) -> list[dict[str, Any]]:
        """Return every fault as it was told, and its counts."""
        return [fault.shown() for fault in self._faults]

    def fault_for(self, call: Call, now: float) -> CallFault | None:
        """Return the fault that a call meets, if it meets one."""
        faults = self._of(CallFault)
        faults.sort(key=lambda fault: fault.until is None)
        return next((fault for fault in faults if fault.takes(call, now)), None)

    def outcomes(self) -> BatchOutcomes | None:
        """Return what becomes of the rows of a new batch; None where nothing is planned."""
        faults = [fault for fault in self._of(OutcomeFault) if fault.has_times_left]
        return BatchOutcomes(faults) if faults else None

    def damage(self, batch_id: str) -> Damage | None:
        """Return the damage to one reading of results, which is counted; None for none."""
        faults = [fault for fault in self._of(DamageFault) if fault.takes(batch_id)]
        return Damage(faults) if faults else None

    def _of(self, kind: type[_Kind]) -> list[_Kind]:
        return [fault for fault in self._faults if isinstance(fault, kind)]
