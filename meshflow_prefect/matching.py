"""Which recorded submission a submission repeats, so that what is paid for is found again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from meshflow_prefect.ledger import Entry, Work
from meshflow_prefect.lineage import Lineage
from meshflow_prefect.surroundings import Surroundings

if TYPE_CHECKING:
    from uuid import UUID


class Claims:
    """Which entries have been taken in this process, so that no two submissions share a batch.

    A process makes the submissions of a replay one after another; each takes the first entry that
    fits. A run or a task that is retried in the same process starts over, and so gives back what
    was taken by it and below it.
    """

    def __init__(self) -> None:
        self._uses: dict[tuple[UUID, int], _Use] = {}

    def take(self, lineage: Lineage, entry: Entry, work: Work | None = None) -> None:
        """Note that the current attempt of the current run, and of the task, uses the entry.

        `work` is what it is used for; left out, what was submitted.
        """
        asked = (work or entry.work).digest
        self._uses[lineage.root.id, entry.number] = _Use(lineage, Surroundings(), asked)

    def give_back(self, lineage: Lineage, entry: Entry) -> None:
        """Forget that the current attempt of the current run uses the entry."""
        use = self._uses.get((lineage.root.id, entry.number))
        if use is not None and use.taker is lineage:
            del self._uses[lineage.root.id, entry.number]

    def is_free(self, lineage: Lineage, entry: Entry) -> bool:
        """Whether no other submission of these attempts uses the entry."""
        return self._use_of(lineage, entry) is None

    def have_moved(self, entries: Iterable[Entry], lineage: Lineage, work: Work) -> bool:
        """Whether what was submitted here is used by another call: they come in another order."""
        for entry in entries:
            if _is_same_part(entry, work) and is_own(entry, lineage):
                use = self._use_of(lineage, entry)
                if use is not None and use.taker.current.id != lineage.current.id:
                    return True
        return False

    def given_to_others(
        self, entries: Iterable[Entry], lineage: Lineage, work: Work
    ) -> Entry | None:
        """Return what was submitted of this very content, and is used by a call of other content.

        So it is where a redeploy has put a call before the one that submitted.
        """
        for entry in entries:
            if _is_same_part(entry, work) and entry.work.digest == work.digest:
                use = self._use_of(lineage, entry)
                if use is not None and use.asked != work.digest:
                    return entry
        return None

    def _use_of(self, lineage: Lineage, entry: Entry) -> _Use | None:
        """Return how another submission of these attempts uses the entry; None: it is free."""
        use = self._uses.get((lineage.root.id, entry.number))
        if use is None or use.surroundings.are_over():
            return None
        attempts = {run.id: run.run_count for run in use.taker.runs}
        is_anew = any(attempts.get(run.id, run.run_count) != run.run_count for run in lineage.runs)
        return None if is_anew else use


class _Use(NamedTuple):
    """The use of an entry by a submission of this process."""

    taker: Lineage
    surroundings: Surroundings
    asked: str
    """Digest of the content that was asked for; of a changed one the entry has another."""


def match(
    entries: Iterable[Entry], lineage: Lineage, work: Work, *, have_moved: bool = False
) -> Entry | None:
    """Return which of the free entries a submission repeats, or None when it is a new one.

    `have_moved` says that what was submitted here is used by another call already.

    1. An entry of the same part that this flow run made, or an earlier run of the same call in the
       same parent: the one of equal content first. A part that has a name is submitted once, so
       that its entry is found even where a redeploy has changed the content.
    2. An entry of the same content from somewhere else under the root: the run that made it was
       replaced by a fresh one (a parent was retried), or cannot be told from its siblings.
    """
    candidates = [entry for entry in entries if _is_same_part(entry, work)]
    own = [e for e in candidates if is_own(e, lineage)]
    for entry in own:
        if entry.work.digest == work.digest:
            return entry
    if (own or have_moved) and (
        moved := next((e for e in candidates if e.work.digest == work.digest), None)
    ):
        # Calls that are made at once may come in another order at a replay: the content decides.
        return moved
    if work.part and own:
        return own[0]
    parents = tuple(str(run.id) for run in lineage.runs[1:2])
    for entry in candidates:
        replaced = entry.run_ids[1:2] != parents or not entry.call_site
        if entry.work.digest == work.digest and entry not in own and replaced:
            return entry
    return None


def keyed(entries: Iterable[Entry], work: Work) -> Entry | None:
    """Return the entry of this job key and part, whichever run made it."""
    return next((entry for entry in entries if _is_same_part(entry, work)), None)


def _is_same_part(entry: Entry, work: Work) -> bool:
    return (entry.work.job_key, entry.work.part) == (work.job_key, work.part)


def is_own(entry: Entry, lineage: Lineage) -> bool:
    """Whether this flow run made the entry, or an earlier run of the same call in its parent."""
    site = lineage.call_site
    return entry.run_ids[0] == str(lineage.current.id) or bool(site and entry.call_site == site)
