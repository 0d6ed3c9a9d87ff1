"""The attempts of tasks around a submission: what one that failed has submitted is its retry's."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect.transactions import BaseTransaction


class Surroundings:
    """The attempts of tasks that this code runs in when it is made.

    Prefect opens a transaction for each attempt of a task, and rolls it back when the attempt
    fails. The task run itself does not tell: inside of `submit_batch`, which is a task too, the
    one around it cannot be asked for its attempt.
    """

    def __init__(self) -> None:
        # Held weakly: a transaction holds the results of its tasks.
        self._failed: list[weakref.ref[BaseTransaction]] = []
        for transaction in _around():
            if transaction.is_rolled_back():
                self._note(transaction)
            else:
                transaction.on_rollback_hooks.append(self._note)

    def are_over(self) -> bool:
        """Whether one of the attempts has failed, and this code, which asks, is not part of it.

        A step inside of an attempt that fails rolls the attempt back as well, which may go on.
        """
        around = _around()
        return any(all(failed() is not each for each in around) for failed in self._failed)

    def _note(self, transaction: BaseTransaction) -> None:
        self._failed.append(weakref.ref(transaction))

    # Without this Prefect logs that the hook has run, with every task that fails.
    _note.log_on_run = False  # type: ignore[attr-defined]


def _around() -> list[BaseTransaction]:
    """Return the open transactions around that of the current task, the nearest first."""
    from prefect.transactions import get_transaction

    found: list[BaseTransaction] = []
    current = get_transaction()
    while current is not None and all(current is not each for each in found):
        found.append(current)
        # The parent of one that is closed is said to be the current one: a circle.
        current = current.get_parent()
    return found[1:]
