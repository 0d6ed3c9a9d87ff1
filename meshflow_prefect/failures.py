"""What finally failed decides how a run ends: one policy, stated here. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, TypeAlias

from meshflow_prefect.errors import BatchFailedError, InvalidRequestError
from meshflow_prefect.models import BatchResult
from meshflow_prefect.reporting import counted

OnFailure: TypeAlias = Literal["return", "raise"]

_NAMED = 5


def check_failures(
    results: Sequence[BatchResult],
    *,
    batch_ids: Sequence[str],
    on_failure: OnFailure,
    threshold: float,
) -> None:
    """Raise `BatchFailedError` where `on_failure` is `raise` and too many requests have failed.

    A request has failed unless its status is `succeeded`; a refusal by the model is a reply. Too
    many are more than `threshold` of all (0.0: a single one, 0.05: more than 5 %).
    """
    failed = [result for result in results if not result.succeeded]
    if on_failure == "return" or not too_many(len(failed), len(results), threshold):
        return
    kinds = Counter(result.error_type for result in failed)
    named = ", ".join(result.custom_id for result in failed[:_NAMED])
    raise BatchFailedError(
        f"{len(failed):,} of {counted(len(results), 'request')} failed, more than the "
        f"{threshold:.1%} allowed: "
        f"{', '.join(f'{n:,} {kind}' for kind, n in kinds.most_common())}. First of them: "
        f"{named}{', …' if len(failed) > _NAMED else ''}. All {len(results):,} results are "
        f"collected: `results` of this error holds them, and batch_ids={list(batch_ids)!r} reads "
        "them again for 29 days, free of charge.",
        results=list(results),
        batch_ids=list(batch_ids),
        failed=len(failed),
        total=len(results),
    )


def too_many(failed: int, total: int, threshold: float) -> bool:
    """Whether more requests have failed than the share that may."""
    # Divided, not multiplied: 29 of 100 are not more than 0.29, in floating point too.
    return failed > 0 and failed / total > threshold


def check_policy(on_failure: str, threshold: float, max_attempts: int) -> None:
    """Raise `InvalidRequestError` for a policy that means nothing."""
    if on_failure not in ("return", "raise"):
        raise InvalidRequestError(f"on_failure: expected 'return' or 'raise', got {on_failure!r}.")
    if not 0.0 <= threshold < 1.0:
        raise InvalidRequestError(
            f"failure_threshold: expected a share from 0.0 to below 1.0, got {threshold!r}."
        )
    if isinstance(max_attempts, bool) or max_attempts < 1:
        raise InvalidRequestError(f"max_attempts: must be at least 1, got {max_attempts!r}.")
