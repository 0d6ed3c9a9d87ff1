"""The output is there whole, or not at all."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import textwrap

import fsspec
import orjson
import pytest

from meshflow_prefect import DestinationError
from meshflow_prefect.sinks import check_destination, open_sink
from meshflow_prefect.sources import Source

ENDINGS = ["jsonl", "ndjson", "jsonl.gz", "ndjson.gz", "parquet", "pq"]


def lines(count: int) -> list[bytes]:
    return [orjson.dumps({"custom_id": f"row-{n}", "tokens": n}) for n in range(count)]


def write(url, rows: list[bytes], *, overwrite: bool = False, schema=None) -> None:
    with open_sink(url, schema=schema, overwrite=overwrite) as sink:
        for row in rows:
            sink.write(row)


def ids(url) -> list[str]:
    return [row.values["custom_id"] for row in Source.open(url).rows()]


@pytest.fixture(params=["disk", "memory"])
def folder(request, tmp_path, memory) -> str:
    return {"disk": str(tmp_path), "memory": memory}[request.param]


def everything_in(folder: str) -> list[str]:
    filesystem, path = fsspec.core.url_to_fs(folder)
    found = filesystem.find(path) if filesystem.exists(path) else []
    return [name.rpartition("/")[2] for name in found]


@pytest.mark.parametrize("ending", ENDINGS)
def test_rows_come_back_in_their_order(folder, ending):
    url = f"{folder}/out.{ending}"
    write(url, lines(12_345))

    assert ids(url) == [f"row-{n}" for n in range(12_345)]
    assert everything_in(folder) == [f"out.{ending}"]


def test_json_lines_are_written_as_they_are(tmp_path):
    rows = [b'{"a": "\xe2\x80\xa8"}', b"{}"]
    write(tmp_path / "out.jsonl", rows)
    assert (tmp_path / "out.jsonl").read_bytes() == b'{"a": "\xe2\x80\xa8"}\n{}\n'

    write(tmp_path / "out.jsonl.gz", rows)
    with gzip.open(tmp_path / "out.jsonl.gz") as file:
        assert file.read() == b'{"a": "\xe2\x80\xa8"}\n{}\n'


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_rows_make_the_same_bytes(tmp_path, ending):
    for name in ("one", "other"):
        write(tmp_path / f"{name}.{ending}", lines(100))
    one, other = (tmp_path / f"{name}.{ending}" for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "parquet"])
def test_a_block_that_raises_leaves_nothing(folder, ending):
    def fails() -> None:
        with open_sink(f"{folder}/out.{ending}", schema=None, overwrite=False) as sink:
            for line in lines(60_000):
                sink.write(line)
            (part,) = everything_in(folder)
            assert part.startswith(f".out.{ending}.")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert everything_in(folder) == []


def test_a_block_that_raises_leaves_what_was_there(folder):
    write(f"{folder}/out.jsonl", lines(1))

    def fails() -> None:
        with open_sink(f"{folder}/out.jsonl", schema=None, overwrite=True) as sink:
            sink.write(b"{}")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert ids(f"{folder}/out.jsonl") == ["row-0"]
    assert everything_in(folder) == ["out.jsonl"]


def test_the_callers_own_error_is_not_explained_as_the_destinations(tmp_path):
    with (
        pytest.raises(ConnectionResetError),
        open_sink(tmp_path / "out.jsonl", schema=None, overwrite=False),
    ):
        raise ConnectionResetError


def test_no_row_makes_a_file_without_rows(folder):
    for ending in ENDINGS:
        write(f"{folder}/out.{ending}", [])
    assert len(everything_in(folder)) == len(ENDINGS)
    assert list(Source.open(f"{folder}/out.parquet").rows()) == []


def test_a_destination_that_exists_is_refused_unless_overwriting_is_asked_for(folder):
    url = f"{folder}/out.jsonl"
    write(url, lines(3))
    for attempt in (check_destination, lambda url, overwrite: write(url, [], overwrite=overwrite)):
        with pytest.raises(DestinationError, match=r"out\.jsonl' exists: remove it") as caught:
            attempt(url, overwrite=False)
        assert caught.value.url == url
    assert ids(url) == ["row-0", "row-1", "row-2"]

    check_destination(url, overwrite=True)
    write(url, lines(1), overwrite=True)
    assert ids(url) == ["row-0"]


def test_a_file_that_comes_meanwhile_is_not_replaced(folder):
    url = f"{folder}/out.jsonl"

    def is_overtaken() -> None:
        with open_sink(url, schema=None, overwrite=False) as sink:
            sink.write(b"{}")
            write(url, lines(1))

    with pytest.raises(DestinationError, match="exists"):
        is_overtaken()
    assert ids(url) == ["row-0"]
    assert everything_in(folder) == ["out.jsonl"]


def test_a_check_leaves_nothing_behind(folder):
    check_destination(f"{folder}/out.parquet", overwrite=False)
    assert everything_in(folder) == []


def test_a_local_folder_that_is_missing_is_made(in_folder):
    check_destination("more/and/more/out.jsonl", overwrite=False)
    write("more/and/more/out.jsonl", lines(1))
    assert ids("more/and/more/out.jsonl") == ["row-0"]


@pytest.mark.parametrize("name", ["out.csv", "out", "out.json", "out.parquet.gz", "jsonl", "out/"])
def test_another_ending_is_refused(tmp_path, name):
    with pytest.raises(DestinationError, match=r"known endings are \.jsonl, \.ndjson, "):
        check_destination(f"{tmp_path}/{name}", overwrite=True)


def test_a_folder_is_refused(folder, tmp_path):
    write(f"{folder}/out.jsonl/more.jsonl", [])
    with pytest.raises(DestinationError, match="is a folder; name a file"):
        check_destination(f"{folder}/out.jsonl", overwrite=True)


def test_a_place_where_nothing_can_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DestinationError, match=r"out\.jsonl': cannot be written: "):
        check_destination(tmp_path / "file" / "out.jsonl", overwrite=True)
    with pytest.raises(DestinationError, match="nstall s3fs"):
        check_destination("s3://bucket/out.jsonl", overwrite=True)
    with pytest.raises(DestinationError, match="name one file, not a glob"):
        check_destination("memory://folder/*.jsonl", overwrite=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_must_not_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DestinationError, match="cannot be written: Permission denied"):
        check_destination(tmp_path / "out.jsonl", overwrite=True)


def test_a_link_stays_and_leads_to_the_new_file(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link.jsonl").symlink_to("there/out.jsonl")
    write(tmp_path / "link.jsonl", lines(1))
    assert (tmp_path / "link.jsonl").is_symlink()
    assert ids(tmp_path / "there" / "out.jsonl") == ["row-0"]


def test_a_name_may_be_as_long_as_the_filesystem_takes(tmp_path):
    url = tmp_path / f"{'ä' * 123}.parquet"
    write(url, lines(1))
    assert ids(url) == ["row-0"]


DIES_WHILE_IT_WRITES = textwrap.dedent(
    """
    import os, resource, signal, sys
    from meshflow_prefect.sinks import open_sink

    if sys.argv[2] == "killed":
        # The kernel ends the process in the middle of the write that passes 3 MB.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    else:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, resource.RLIM_INFINITY))
    with open_sink(sys.argv[1], schema=None, overwrite=True) as sink:
        for n in range(20_000):
            sink.write(b'{"custom_id":"%b"}' % os.urandom(500).hex().encode())
    """
)


def dies(url, how: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", DIES_WHILE_IT_WRITES, str(url), how]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "parquet"])
def test_a_process_that_is_killed_leaves_what_was_there_and_a_recognisable_part(tmp_path, ending):
    url = tmp_path / f"out.{ending}"
    write(url, lines(2))
    died = dies(url, "killed")

    assert died.returncode == -signal.SIGXFSZ, died.stderr
    assert ids(url) == ["row-0", "row-1"]
    (part,) = [path for path in tmp_path.iterdir() if path != url]
    assert part.name.startswith(f".out.{ending}.")
    assert part.suffix == ".part"
    # Nobody reads it: it is hidden from a folder that is read whole.
    assert [file.name for file in Source.open(tmp_path).files] == [str(url)]


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "parquet"])
def test_a_full_disk_is_an_error_that_leaves_what_was_there(tmp_path, ending):
    url = tmp_path / f"out.{ending}"
    write(url, lines(2))
    died = dies(url, "refused")

    assert died.returncode == 1
    last = died.stderr.strip().splitlines()[-1]
    assert "DestinationError" in last
    assert f"out.{ending}': cannot be written: " in last
    assert "File too large" in last
    assert "Exception ignored" not in died.stderr
    assert ids(url) == ["row-0", "row-1"]
    assert list(tmp_path.iterdir()) == [url]
