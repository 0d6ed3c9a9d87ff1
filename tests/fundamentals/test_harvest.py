"""The results of a batch go to disk in any order, and come back by the position of the request."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import BatchResult
from meshflow_prefect.attempts import merge
from meshflow_prefect.bulk.harvest import Harvest, Results, Tally, latest, tally_of
from meshflow_prefect.pricing import cost_of, total_cost
from meshflow_prefect.results import missing
from tests.support.results import MODEL, failed, other, replied

OUTCOMES = [
    lambda name: replied(name, f"It is {name}\u2028: “{name}”.\n", output_tokens=7),
    lambda name: replied(name, "", stop_reason="refusal"),
    failed,
    lambda name: other(name, "expired"),
    lambda name: other(name, "canceled"),
    missing,
]


def ids(count: int) -> list[str]:
    return [f"row-{n}" for n in range(count)]


def positions(count: int) -> dict[str, int]:
    return {name: n for n, name in enumerate(ids(count))}


def harvested(path: Path, results: list[BatchResult], count: int, **options) -> Tally:
    harvest = Harvest(path, positions(count), count, **options)
    harvest.take(results[: len(results) // 2])
    harvest.take(results[len(results) // 2 :])
    return harvest.close("batch-1", is_whole=True)


@contextmanager
def opened(path: Path, count: int):
    with closing(Results(path, count)) as results:
        yield results


def named(results: Results, position: int) -> BatchResult:
    return replace(results.result(position), custom_id=f"row-{position}")


@given(data=st.data(), kinds=st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=8))
def test_each_result_comes_back_as_it_was_by_its_position(tmp_path_factory, data, kinds):
    path = tmp_path_factory.mktemp("harvest") / "results-00000-1"
    results = [kind(f"row-{n}") for n, kind in enumerate(kinds)]
    harvested(path, data.draw(st.permutations(results)), len(results))

    with opened(path, len(results)) as stored:
        for position, result in enumerate(results):
            assert position in stored
            assert named(stored, position) == result
            assert stored.status(position) == result.status
            line = b'{"custom_id":"x",' + stored.rest(position)
            assert orjson.loads(line) == {**result.to_dict(), "custom_id": "x"}


@given(first=st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=6), data=st.data())
def test_a_further_attempt_is_merged_as_results_in_memory_are(tmp_path_factory, first, data):
    folder, count = tmp_path_factory.mktemp("harvest"), len(first)
    again = data.draw(st.sets(st.integers(0, count - 1)))
    old = [kind(f"row-{n}") for n, kind in enumerate(first)]
    new = [data.draw(st.sampled_from(OUTCOMES))(f"row-{n}") for n in again]
    harvested(folder / "results-1", old, count)

    with opened(folder / "results-1", count) as earlier:
        harvested(folder / "results-2", new, count, earlier=[earlier])
    with opened(folder / "results-1", count) as one, opened(folder / "results-2", count) as two:
        found = [latest([one, two], position) for position in range(count)]
        merged = [named(each, n) for n, each in enumerate(found) if each is not None]

    assert merged == merge(old, new)


def test_whole_numbers_of_any_length_come_back(tmp_path):
    path = tmp_path / "results-00000-1"
    reply = replace(replied("row-0", "Paid."), parsed={"iban": 2**70}, message={"n": -(2**80)})

    harvested(path, [reply], 1)

    with opened(path, 1) as results:
        assert named(results, 0) == reply
        assert str(2**70).encode() in results.rest(0)


def test_the_sums_are_those_of_the_rows_and_cost_is_exact(tmp_path):
    results = [replied("row-0"), failed("row-1"), replied("row-2", input_tokens=1_333)]

    tally = harvested(tmp_path / "r", results, 3)

    usage = [result.usage for result in results]
    assert (tally.input_tokens, tally.output_tokens) == (1_343, 10)
    assert tally.cost == total_cost(results)
    standard = [cost_of(MODEL, each, tier="standard") for each in usage if each]
    assert tally.standard_cost == sum(standard) == 2 * tally.cost
    assert tally.unknown_cost == 0
    assert tally.again == [1]


def test_cached_tokens_are_input_tokens(tmp_path):
    usage = {"input_tokens": 1, "cache_read_input_tokens": 20, "output_tokens": 3}

    tally = harvested(tmp_path / "r", [replied("row-0", usage=usage)], 1)

    assert (tally.input_tokens, tally.output_tokens) == (21, 3)


def test_rows_whose_cost_is_not_known_are_counted_with_their_tokens(tmp_path):
    unpriced = replied("row-0", model="model-of-tomorrow")

    tally = harvested(tmp_path / "r", [unpriced, missing("row-1"), replied("row-2")], 3)

    assert tally.unknown_cost == 2
    assert (tally.input_tokens, tally.output_tokens) == (20, 10)
    assert tally.cost == total_cost([replied("row-2")])


def test_a_tally_of_further_attempts_holds_only_what_they_cost(tmp_path):
    harvested(tmp_path / "one", [replied("row-0"), failed("row-1")], 2)

    with opened(tmp_path / "one", 2) as earlier:
        tally = harvested(tmp_path / "two", [replied("row-1")], 2, earlier=[earlier])

    assert tally.cost == total_cost([replied("row-1")])


def test_what_is_worth_another_try_is_noted_in_order(tmp_path):
    worth = [other("row-3", "expired"), failed("row-1", "timeout_error")]
    final = [failed("row-0", "invalid_request_error"), other("row-2", "canceled"), missing("row-4")]

    assert harvested(tmp_path / "r", [*worth, *final], 5).again == [1, 3]


def test_a_result_is_read_before_anything_else_is_made_of_it(tmp_path):
    def read(result: BatchResult) -> BatchResult:
        return replace(result, parsed={"number": 7})

    harvested(tmp_path / "r", [replied("row-0")], 1, read=read)

    with opened(tmp_path / "r", 1) as stored:
        assert stored.result(0).parsed == {"number": 7}


def test_nothing_is_in_its_place_before_the_end(tmp_path):
    harvest = Harvest(tmp_path / "r", positions(1), 1)
    harvest.take([replied("row-0")])
    assert tally_of(tmp_path / "r") is None

    harvest.abandon()

    assert list(tmp_path.iterdir()) == []


def test_abandoning_what_is_in_its_place_leaves_it(tmp_path):
    harvest = Harvest(tmp_path / "r", positions(1), 1)
    harvest.take([replied("row-0")])
    tally = harvest.close("batch-7", is_whole=False)

    harvest.abandon()

    assert tally_of(tmp_path / "r") == tally
    assert (tally.batch_id, tally.is_whole) == ("batch-7", False)
    assert {path.suffix for path in tmp_path.iterdir()} == {".jsonl", ".index", ".json"}


def test_two_harvests_of_a_batch_at_once_leave_one_of_them_whole(tmp_path):
    """Two executions of a run read the same rows, each in an order of its own."""
    results = [replied(f"row-{n}", "It is " * (n + 1)) for n in range(5)]

    for round_ in range(150):
        path = tmp_path / f"r{round_}"
        harvests = [Harvest(path, positions(5), 5) for _ in range(2)]
        for harvest, rows in zip(harvests, (results, results[::-1]), strict=True):
            harvest.take(rows)
        with ThreadPoolExecutor(2) as pool:
            closed = [pool.submit(h.close, "batch-1", is_whole=True) for h in harvests]
        assert tally_of(path) in [each.result() for each in closed]
        with opened(path, 5) as stored:
            assert [named(stored, n) for n in range(5)] == results


@given(st.decimals(0, 10**6, places=9), st.integers(0, 10**12), st.lists(st.integers(0, 99)))
def test_a_tally_comes_back_as_it_was(cost, tokens, again):
    tally = Tally("batch-1", False, tokens, 5, cost, 2 * cost, 3, again=again)

    assert Tally.from_json(tally.to_json()) == tally
    assert isinstance(Tally.from_json(tally.to_json()).cost, Decimal)


def test_a_request_of_another_batch_is_no_part_of_a_harvest(tmp_path):
    harvest = Harvest(tmp_path / "r", positions(1), 1)
    with pytest.raises(KeyError):
        harvest.take([replied("row-9")])
    harvest.abandon()
