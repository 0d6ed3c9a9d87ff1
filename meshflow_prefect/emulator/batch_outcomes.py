"""Which rows of a batch have a planned outcome: decided while its requests come in."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from meshflow_prefect.emulator.batches import PlannedOutcome
from meshflow_prefect.emulator.row_faults import OutcomeFault

_NO_OUTCOME = 0xFFFF  # more than a plan has faults


class BatchOutcomes:
    """The planned outcomes of one batch while it is taken in.

    A fault is taken for this batch at the first row that it is about, and given back if there
    is no batch in the end: a refused create uses nothing up.
    """

    def __init__(self, faults: Sequence[OutcomeFault]) -> None:
        self._faults = faults
        self._taken: set[OutcomeFault] = set()
        self._chosen = array("H")
        self._ranks: list[list[int]] = [[] for _ in self._faults]

    def decide(self, custom_id: str, *, is_valid: bool) -> bool:
        """Take the next row; whether its outcome is planned. An invalid one cannot succeed."""
        place = len(self._chosen)
        for number, fault in enumerate(self._faults):
            if fault.outcome == "succeeded" and not is_valid:
                continue
            if fault.rows.includes(place, custom_id) and self._take(fault):
                self._chosen.append(number)
                return True
        self._chosen.append(_NO_OUTCOME)
        return False

    def place_at(self, rank: int, place: int) -> None:
        """Say when a row finishes."""
        chosen = self._chosen[place]
        if chosen != _NO_OUTCOME:
            self._ranks[chosen].append(rank)

    def planned(self) -> list[PlannedOutcome]:
        """Return what the batch has to remember."""
        return [
            PlannedOutcome(fault.outcome, fault.error, fault.message, ranks, fault.text)
            for fault, ranks in zip(self._faults, self._ranks, strict=True)
            if ranks
        ]

    def keep(self) -> None:
        """Say that the batch has been accepted."""
        self._taken.clear()

    def give_back(self) -> None:
        """Say that there is no such batch; after `keep` this does nothing."""
        for fault in self._taken:
            fault.fired -= 1
        self._taken.clear()

    def _take(self, fault: OutcomeFault) -> bool:
        if fault not in self._taken:
            if not fault.has_times_left:
                return False
            fault.fired += 1
            self._taken.add(fault)
        return True
