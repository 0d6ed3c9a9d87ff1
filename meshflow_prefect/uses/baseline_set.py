"""The rows whose cost is watched, and what is asked of each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from meshflow_prefect import exact_json
from meshflow_prefect.bulk.making import Made
from meshflow_prefect.bulk.recipe import Recipe
from meshflow_prefect.models import BatchRequest
from meshflow_prefect.uses.cases import Cases, Dataset, read_cases
from meshflow_prefect.uses.cost_figures import digest_of


@dataclass(frozen=True)
class BaselineSet:
    """A set in memory, with a request for each row."""

    cases: Cases
    made: tuple[Made, ...]
    """The request of each case."""
    asked_digest: str
    """Of what is asked of every row: it may change from run to run."""

    @classmethod
    def read(cls, rows: Dataset, recipe: Recipe, form: Mapping[str, Any] | None) -> Self:
        """Read a set, and make its requests. Takes its time: call it in a thread.

        `form` is the schema of the replies, for which the job itself asks. Raises what `read_cases`
        raises.
        """
        made: list[Made] = []
        cases = read_cases(
            rows,
            columns=recipe.columns,
            check=lambda case: made.append(recipe.make(case.values)),
        )
        return cls(cases, tuple(made), digest_of({**recipe.settings, "output": form}))

    @property
    def models(self) -> tuple[str, ...]:
        """Those that are asked, by name."""
        return tuple(sorted({made.model for made in self.made}))

    @property
    def digest(self) -> str:
        """Of the rows in their order and their ids, whatever is asked of them."""
        return digest_of([[case.id, case.values] for case in self.cases.rows])

    def requests(self, job: str) -> list[BatchRequest]:
        """Return the requests, under ids that tell the job, the set and what is asked of it."""
        ids = self.cases.ids(f"{job}:cost-gate:{self.asked_digest}")
        return [_request(custom_id, made) for custom_id, made in zip(ids, self.made, strict=True)]


def _request(custom_id: str, made: Made) -> BatchRequest:
    params = exact_json.loads(made.params)
    own = {name: params.pop(name) for name in ("model", "max_tokens", "messages")}
    return BatchRequest(custom_id, system=params.pop("system", ""), params=params, **own)
