"""How far a job has come, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal


@dataclass
class Progress:
    """Counted by those who do the work, looked at by those who show it."""

    rows_read: int = 0
    bad_rows: int = 0
    requests: int = 0
    """To be sent in all; 0 until the source is read."""
    chunks: int = 0
    chunks_sent: int = 0
    batches_ended: int = 0
    requests_ended: int = 0
    rows_written: int = 0
    cost_usd: Decimal = field(default_factory=Decimal)
    """Of the batches that have been collected."""
