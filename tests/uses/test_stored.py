"""What a use case remembers is in a file, or in a Prefect variable."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.variables import Variable

from meshflow_prefect import DestinationError, InvalidRequestError, SourceError
from meshflow_prefect.uses.stored import check_place, fits, forget, load, save

VALUE = {"score": 0.5, "cases": [{"id": "ä", "passed": True}, None]}


LINES = """\
{
  "score": 0.5,
  "none": [],
  "cases": {
    "ä": [1,2],
    "b": {"c":[3]}
  },
  "runs": [
    {"a":1}
  ]
}
"""


@pytest.fixture(params=["disk", "memory", "variable"])
def place(request, tmp_path) -> str:
    return {
        "disk": str(tmp_path / "made" / "stored.json"),
        "memory": f"memory://{uuid4().hex}.json",
        "variable": f"variable:stored_{uuid4().hex}",
    }[request.param]


async def test_what_was_saved_is_loaded_and_saved_over(place):
    await check_place(place)
    assert await load(place) is None

    await save(place, {"first": 1})
    await save(place, VALUE)
    await check_place(place)

    assert await load(place) == VALUE


async def test_what_is_forgotten_is_gone_and_may_be_forgotten_twice(place):
    await save(place, VALUE)
    await forget(place)
    await forget(place)
    assert await load(place) is None


async def test_a_file_is_written_for_people_and_nothing_is_left_beside_it(tmp_path):
    place = tmp_path / "stored.json"
    value = {"score": 0.5, "none": [], "cases": {"ä": [1, 2], "b": {"c": [3]}}, "runs": [{"a": 1}]}
    await save(str(place), value)
    await check_place(str(place))

    assert place.read_text() == LINES
    assert list(tmp_path.iterdir()) == [place]


async def test_a_link_stays_and_leads_to_the_new_value(tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    await save(str(tmp_path / "link.json"), 1)
    assert (tmp_path / "link.json").is_symlink()
    assert await load(str(tmp_path / "real.json")) == 1


async def test_a_variable_holds_as_much_as_prefect_lets_it():
    place = f"variable:stored_{uuid4().hex}"
    most = "x" * (5_000 - 2)

    await save(place, most)
    assert await load(place) == most
    assert fits(place, most)
    assert not fits(place, f"{most}x")
    assert fits("stored.json", f"{most}x")
    with pytest.raises(
        DestinationError, match=r"at most 5,000 bytes of JSON, and this takes 5,001"
    ):
        await save(place, f"{most}x")
    assert await load(place) == most


async def test_a_variable_that_people_made_is_read():
    name = f"stored_{uuid4().hex}"
    await Variable.aset(name, {"by": "hand"})
    assert await load(f"variable:{name}") == {"by": "hand"}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(-9, 9)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
)


@given(JSON)
def test_whatever_is_saved_is_the_same_value_when_it_is_loaded(tmp_path_factory, value):
    place = str(tmp_path_factory.mktemp("stored") / "stored.json")
    asyncio.run(save(place, value))
    assert asyncio.run(load(place)) == value


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("variable:", "'variable:': the name of a Prefect variable has 1 to 255 characters"),
        ("variable:Last Runs", "out of a-z, 0-9, '_' and '-'"),
        (f"variable:{'x' * 256}", "1 to 255 characters"),
        ("stored.yaml", r"'stored.yaml': expected the path or URL of a .json file, or variable:"),
        ("", "expected the path or URL"),
    ],
)
async def test_what_is_no_place_is_refused_before_anything_is_done(place, why):
    for work in (load(place), save(place, 1), check_place(place), forget(place)):
        with pytest.raises(InvalidRequestError, match=why):
            await work


async def test_a_file_that_is_not_json_is_an_error_that_names_it(tmp_path):
    (tmp_path / "stored.json").write_text("{")
    with pytest.raises(SourceError, match=r"stored.json' is not JSON: "):
        await load(str(tmp_path / "stored.json"))


async def test_a_place_that_cannot_be_read_or_written_is_an_error_that_names_it(tmp_path):
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match=r"folder.json': cannot be read: Is a directory"):
        await load(str(tmp_path / "folder.json"))
    with pytest.raises(DestinationError, match=r"folder.json' is a folder; name a file"):
        await check_place(str(tmp_path / "folder.json"))
    with pytest.raises(DestinationError, match=r"cannot be written: "):
        await save(str(tmp_path / "file" / "stored.json"), 1)
    with pytest.raises(DestinationError, match=r"other://stored.json"):
        await check_place("other://stored.json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_that_must_not_be_written_is_an_error_before_the_work(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DestinationError, match="Permission denied"):
        await check_place(str(tmp_path / "stored.json"))


async def test_a_remote_file_is_whole_and_nothing_is_left_beside_it():
    folder = f"memory://{uuid4().hex}"
    await save(f"{folder}/stored.json", VALUE)
    filesystem, path = fsspec.core.url_to_fs(folder)
    assert [Path(name).name for name in filesystem.find(path)] == ["stored.json"]
