"""A dataset is read whole and checked, and its cases keep their ids through every replay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import BadRowsError, InvalidRequestError, SourceError
from meshflow_prefect.models import CUSTOM_ID_PATTERN
from meshflow_prefect.uses.cases import Case, read_cases

ROWS = [{"id": "a", "prompt": "One."}, {"id": 7, "prompt": "Two."}, {"prompt": "Three."}]


def read(dataset, columns=("prompt",), check=lambda case: None):
    return read_cases(dataset, columns=columns, check=check)


def test_rows_and_the_same_rows_of_a_file_are_the_same_cases(tmp_path):
    path = tmp_path / "cases.csv"
    path.write_text("id,prompt\na,One.\n7,Two.\n2,Three.\n")

    given, from_file = read(ROWS), read(path)

    assert (
        [case.id for case in given.rows] == [case.id for case in from_file.rows] == ["a", "7", "2"]
    )
    assert given.name == "3 rows"
    assert from_file.name == str(path)


def test_numbers_of_numpy_and_a_missing_value_become_what_a_file_holds():
    import numpy as np

    (case,) = read(
        [{"prompt": "A", "n": np.int64(3), "x": float("nan"), "t": np.float32(0.5)}]
    ).rows
    assert case.values == {"prompt": "A", "n": 3, "x": None, "t": 0.5}


def test_whole_numbers_of_any_length_keep_their_digits(tmp_path):
    path = tmp_path / "cases.jsonl"
    path.write_text(f'{{"prompt": "A", "n": {2**70}}}\n')

    given, from_file = read([{"prompt": "A", "n": 2**70}]), read(path)

    assert [cases.rows[0].text("n") for cases in (given, from_file)] == [str(2**70)] * 2
    assert (
        given.ids("job") == from_file.ids("job") != read([{"prompt": "A", "n": 2**71}]).ids("job")
    )


def test_a_column_is_a_text_or_nothing():
    case = Case("a", {"x": " b ", "n": 3, "none": None, "list": [1]})
    assert [case.text(name) for name in ("x", "n", "none", "list", "other")] == [
        "b",
        "3",
        "",
        "[1]",
        "",
    ]


def test_a_file_without_a_column_names_the_column_and_what_there_is(tmp_path):
    path = tmp_path / "cases.csv"
    path.write_text("id,text\na,One.\n")
    with pytest.raises(InvalidRequestError, match=r"no column 'prompt'. Its columns: id, text"):
        read(path)


def test_bad_rows_are_named_with_file_and_line(tmp_path):
    path = tmp_path / "cases.jsonl"
    path.write_text(
        '{"id": "a", "prompt": "One."}\nnot JSON\n{"id": "a", "prompt": "Two."}\n{"id": null}\n'
        '{"id": null, "prompt": "x"}\n'
    )
    with pytest.raises(BadRowsError) as error:
        read(path)

    lines = error.value.rows
    assert [line.partition(": ")[0].rpartition("/")[2] for line in lines] == [
        f"cases.jsonl, line {n}" for n in (2, 3, 4, 5)
    ]
    assert "id 'a' was used before, in " in lines[1]
    assert "line 1" in lines[1]
    assert "column 'prompt' is missing" in lines[2]
    assert "column 'id': expected a text or a whole number, got null" in lines[3]
    assert "Nothing was submitted." in error.value.message


def test_what_a_check_finds_is_told_with_the_row():
    def check(case: Case) -> None:
        if case.id == "7":
            raise InvalidRequestError("seven is odd.")

    with pytest.raises(
        BadRowsError, match="1 rows of the dataset are no cases: row 1: seven is odd"
    ):
        read(ROWS, check=check)


def test_after_twenty_bad_rows_reading_stops():
    def rows():
        for _ in range(20):
            yield {"text": "x"}
        raise AssertionError("read on")

    with pytest.raises(BadRowsError, match="The rest was not read"):
        read(rows())


@pytest.mark.parametrize("dataset", [{"prompt": "x"}, 7, None])
def test_what_is_no_dataset_is_refused(dataset):
    with pytest.raises(InvalidRequestError, match="expected a path, a URL or a list of rows"):
        read(dataset)


def test_rows_that_are_no_mappings_or_no_json_are_bad_rows():
    with pytest.raises(BadRowsError, match="row 0: expected a mapping of columns, got a str"):
        read(["x"])
    with pytest.raises(BadRowsError, match="row 0: cannot be written as JSON"):
        read([{"prompt": object()}])


def test_an_empty_dataset_is_refused(tmp_path):
    (tmp_path / "none.csv").write_text("id,prompt\n")
    for dataset in ([], tmp_path / "none.csv"):
        with pytest.raises(SourceError, match="has no rows; there is nothing to submit"):
            read(dataset)


@given(st.lists(st.text(max_size=5), min_size=1, max_size=20), st.text())
def test_custom_ids_are_unique_valid_and_the_same_at_every_replay(prompts, job):
    rows = [{"prompt": prompt} for prompt in prompts]
    ids = read(rows).ids(job)

    assert ids == read(rows).ids(job)
    assert len(set(ids)) == len(rows)
    assert all(CUSTOM_ID_PATTERN.fullmatch(each) for each in ids)


def test_another_job_and_another_dataset_have_other_ids():
    changed = [*ROWS[:2], {"prompt": "Four."}]
    found = {read(ROWS).ids("a")[0], read(ROWS).ids("b")[0], read(changed).ids("a")[0]}
    assert len(found) == 3
