"""Which recorded submission a submission repeats: a batch that is paid for is found again, and
work that only looks the same is not taken for it."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun

from meshflow_prefect.ledger import Entry, Right, Work
from meshflow_prefect.lineage import Lineage
from meshflow_prefect.matching import Claims, match

CONTENT, CHANGED = "digest of the content", "digest of other content"


def a_run(deployed: bool = False) -> FlowRun:
    return FlowRun(
        id=uuid4(), flow_id=uuid4(), run_count=1, deployment_id=uuid4() if deployed else None
    )


def called(*parents: FlowRun, site: str | None = None) -> Lineage:
    """A fresh flow run that `parents` (the nearest first) called at `site`; a root without."""
    current = a_run()
    return Lineage((current, *parents), str(current.id) if site is None else site)


def again(lineage: Lineage) -> Lineage:
    """The same flow run at its next attempt."""
    current = lineage.current.model_copy(update={"run_count": lineage.current.run_count + 1})
    return Lineage((current, *lineage.runs[1:]), lineage.call_site)


def work(digest: str, *, named: bool) -> Work:
    part = "attempt-1" if named else ""
    return Work(digest, "digest of the ids", 2, part)


def made_by(lineage: Lineage, digest: str = CONTENT, number: int = 0) -> Entry:
    return Entry(
        number=number,
        work=work(digest, named=False),
        intended_at="2026-11-22T12:00:00+00:00",
        right=Right("token", "", "2026-11-22T12:10:00+00:00"),
        run_ids=tuple(str(run.id) for run in lineage.runs),
        call_site=lineage.call_site,
        batch_id=f"msgbatch_{number}",
    )


def repeated(entries: list[Entry], lineage: Lineage, digest: str, *, named: bool) -> Entry | None:
    """Which of the entries a submission repeats, where all of them name their part, or none."""
    parts = [replace(e, work=work(e.work.digest, named=named)) for e in entries]
    found = match(parts, lineage, work(digest, named=named))
    return None if found is None else entries[parts.index(found)]


def test_an_empty_ledger_has_nothing_to_repeat():
    assert match([], called(), work(CONTENT, named=True)) is None


@pytest.mark.parametrize("named", [True, False])
def test_a_run_finds_its_own_entry_again(named):
    me = called()
    entry = made_by(me)

    assert repeated([entry], me, CONTENT, named=named) == entry
    assert repeated([entry], again(me), CONTENT, named=named) == entry


def test_of_equal_entries_the_first_is_taken_first():
    me = called()
    entries = [made_by(me, number=n) for n in range(3)]
    assert repeated(entries, me, CONTENT, named=False) == entries[0]


def test_an_entry_without_a_batch_is_found_too_so_that_nothing_is_sent_again():
    me = called()
    entry = replace(made_by(me), batch_id="")
    assert repeated([entry], me, CONTENT, named=False) == entry


@pytest.mark.parametrize("named", [True, False])
def test_a_fresh_run_of_the_same_call_finds_the_entry_of_the_last_one(named):
    root = a_run()
    before, now = called(root, site="call-1"), called(root, site="call-1")
    entry = made_by(before)

    assert repeated([entry], now, CONTENT, named=named) == entry


def test_a_run_below_a_parent_that_was_replaced_finds_the_entry_by_its_content():
    root = a_run()
    before = called(a_run(), root, site="call-1")
    now = called(a_run(), root, site="call-2")

    assert repeated([made_by(before)], now, CONTENT, named=True) == made_by(before)
    assert repeated([made_by(before, CHANGED)], now, CONTENT, named=True) is None


@pytest.mark.parametrize("named", [True, False])
def test_a_sibling_with_the_same_content_is_other_work(named):
    root = a_run()
    sibling, me = called(root, site="call-1"), called(root, site="call-2")

    assert repeated([made_by(sibling)], me, CONTENT, named=named) is None


def test_a_call_that_prefect_numbers_at_random_finds_its_entry_by_its_content():
    root = a_run()
    before, now = called(root, site=""), called(root, site="")
    entry = made_by(before)

    assert repeated([entry], now, CONTENT, named=True) == entry
    assert repeated([made_by(before, CHANGED)], now, CONTENT, named=True) is None


def test_changed_content_is_found_where_the_part_has_a_name():
    root = a_run()
    before, now = called(root, site="call-1"), called(root, site="call-1")
    entry = made_by(before, CHANGED)

    assert repeated([entry], now, CONTENT, named=True) == entry
    assert repeated([entry], now, CONTENT, named=False) is None


def test_equal_content_goes_before_an_earlier_entry_of_changed_content():
    me = called()
    changed, same = made_by(me, CHANGED, number=0), made_by(me, number=1)
    assert repeated([changed, same], me, CONTENT, named=True) == same


def test_a_runs_own_entry_goes_before_one_from_elsewhere():
    root = a_run()
    me = called(root, site="call-1")
    elsewhere = made_by(called(a_run(), root, site="call-9"), number=0)
    own = made_by(me, number=1)
    assert repeated([elsewhere, own], me, CONTENT, named=False) == own


def test_an_entry_is_given_to_one_submission_of_an_attempt():
    claims, me = Claims(), called()
    entry, other = made_by(me), made_by(me, number=1)
    assert claims.is_free(me, entry)

    claims.take(me, entry)

    assert not claims.is_free(me, entry)
    assert claims.is_free(me, other)


def test_the_next_attempt_of_a_run_has_its_entries_back():
    claims, me = Claims(), called(a_run(), site="call-1")
    entry = made_by(me)
    claims.take(me, entry)

    assert claims.is_free(again(me), entry)
    claims.take(again(me), entry)
    assert not claims.is_free(again(me), entry)


def test_an_entry_in_use_by_another_run_is_not_free_whatever_its_attempt():
    root = a_run()
    claims, one, two = Claims(), called(root, site="call-1"), called(root, site="call-2")
    entry = made_by(one)
    claims.take(one, entry)

    assert not claims.is_free(again(two), entry)


def test_a_new_attempt_of_the_root_run_is_a_replay_from_the_top():
    root = a_run()
    claims, before = Claims(), called(root, site="call-1")
    entry = made_by(before)
    claims.take(before, entry)

    (next_root,) = again(Lineage((root,), "")).runs
    assert claims.is_free(called(next_root, site="call-1"), entry)


def test_a_new_attempt_of_a_run_in_the_middle_gives_back_what_was_taken_below_it():
    """It calls fresh runs, in the same process, and the root run's attempt stays the same."""
    claims, root, middle = Claims(), a_run(), a_run()
    before = called(middle, root, site="call-1")
    entry = made_by(before)
    claims.take(before, entry)
    assert not claims.is_free(called(middle, root, site="call-2"), entry)

    retried = again(Lineage((middle, root), "")).runs
    now = called(*retried, site="call-1")

    assert claims.is_free(now, entry)
    claims.take(now, entry)
    assert not claims.is_free(called(*retried, site="call-2"), entry)


def test_a_new_attempt_beside_the_taker_gives_nothing_back():
    claims, root, beside = Claims(), a_run(), a_run()
    taker = called(a_run(), root, site="call-1")
    claims.take(taker, made_by(taker))

    (again_beside, _) = again(Lineage((beside, root), "")).runs
    assert not claims.is_free(called(again_beside, root), made_by(taker))


def test_two_root_runs_in_one_process_have_entries_of_their_own():
    claims, one, two = Claims(), called(), called()
    claims.take(one, made_by(one))

    assert claims.is_free(two, made_by(two))


def test_the_lineage_knows_the_process_of_a_run():
    root, deployed, child = a_run(deployed=True), a_run(deployed=True), a_run()

    assert Lineage((child, deployed, root), "s").in_this_process == (child, deployed)
    assert Lineage((child, a_run()), "s").in_this_process is None
    assert Lineage((root,), "s").in_this_process == (root,)
    assert Lineage((child, root), "s").root == root


def test_another_part_of_the_same_run_is_other_work():
    me = called()
    first = replace(made_by(me), work=work(CONTENT, named=True))

    assert match([first], me, replace(first.work, part="attempt-2")) is None
    assert match([first], me, replace(first.work, part="attempt-1")) == first
