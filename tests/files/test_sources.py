"""A source lists its files, in order, and tells when they have changed."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from pathlib import Path

import fsspec
import pytest

from meshflow_prefect import SourceError
from meshflow_prefect.sources import Source

ROW = b'{"a":1}\n'


def write(folder: Path, *names: str, content: bytes = ROW) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def names(source: Source) -> list[str]:
    return [file.name for file in source.files]


def test_one_file_is_named_as_it_was_given(in_folder):
    write(in_folder, "data/reviews.jsonl")

    for given in ("data/reviews.jsonl", str(in_folder / "data/reviews.jsonl")):
        (file,) = Source.open(given).files
        assert (file.name, file.kind, file.size) == (given, "jsonl", len(ROW))
    assert names(Source.open(f"file://{in_folder}/data/reviews.jsonl")) == [
        f"{in_folder}/data/reviews.jsonl"
    ]
    assert names(Source.open(Path("data") / "reviews.jsonl")) == ["data/reviews.jsonl"]


def test_a_folder_is_read_in_natural_order_with_its_subfolders(in_folder):
    write(in_folder / "data", "part-10.jsonl", "part-2.jsonl", "b/year=2024/x.ndjson", "a.JSONL")

    for given in ("data", "data/"):
        assert names(Source.open(given)) == [
            "data/a.JSONL",
            "data/b/year=2024/x.ndjson",
            "data/part-2.jsonl",
            "data/part-10.jsonl",
        ]


def test_a_glob_takes_the_files_that_match(in_folder):
    write(in_folder / "data", "a1.jsonl", "a2.jsonl", "b.jsonl", "more/a3.jsonl", "notes.txt")

    assert names(Source.open("data/a*.jsonl")) == ["data/a1.jsonl", "data/a2.jsonl"]
    assert names(Source.open("data/**/a?.jsonl")) == [
        "data/a1.jsonl",
        "data/a2.jsonl",
        "data/more/a3.jsonl",
    ]
    assert names(Source.open("data/*/*.jsonl")) == ["data/more/a3.jsonl"]


def test_a_file_whose_name_has_a_wildcard_is_that_file(in_folder):
    write(in_folder, "a[1].jsonl", "a1.jsonl")
    assert names(Source.open("a[1].jsonl")) == ["a[1].jsonl"]


def test_hidden_files_and_marks_of_other_tools_are_left_out(in_folder):
    write(in_folder / "data", "a.jsonl", ".b.jsonl", "_SUCCESS", "_log/c.json", ".git/config")

    assert names(Source.open("data")) == ["data/a.jsonl"]
    assert names(Source.open("data/*")) == ["data/a.jsonl"]
    assert names(Source.open("data/.b*")) == ["data/.b.jsonl"]
    assert names(Source.open("data/_log/*")) == ["data/_log/c.json"]
    assert names(Source.open("data/_log")) == ["data/_log/c.json"]


def test_a_folder_with_other_files_is_an_error_that_names_them(in_folder):
    write(in_folder / "data", "a.jsonl", "notes.txt", "b/c.jsonl.zip", "d.parquet.gz", "README")

    with pytest.raises(SourceError, match=r"'README', 'b/c.jsonl.zip', 'd.parquet.gz', 'notes"):
        Source.open("data")


def test_a_source_that_is_not_there_is_an_error(in_folder):
    write(in_folder, "empty/_SUCCESS")

    with pytest.raises(SourceError, match=r"'nothing.jsonl': there is no such file or folder"):
        Source.open("nothing.jsonl")
    for given in ("*.jsonl", "empty", "nowhere/*.csv"):
        with pytest.raises(SourceError, match=r"there are no files") as caught:
            Source.open(given)
        assert caught.value.url == given


@pytest.mark.parametrize("nothing", ["", " "])
def test_no_name_at_all_is_not_the_folder_of_the_process(in_folder, nothing):
    write(in_folder, "rows.jsonl")

    with pytest.raises(SourceError, match="name a file or a folder"):
        Source.open(nothing)
    assert [file.name for file in Source.open(".").files] == ["./rows.jsonl"]


def test_an_unknown_ending_is_an_error(in_folder):
    write(in_folder, "reviews.xlsx", "reviews")
    for given in ("reviews.xlsx", "reviews"):
        with pytest.raises(SourceError, match=f"cannot tell what is in '{given}': known endings"):
            Source.open(given)


def test_empty_files_are_an_error_that_names_them(in_folder):
    write(in_folder / "data", "a.jsonl")
    write(in_folder / "data", "b.jsonl", "c.csv", content=b"")
    with pytest.raises(SourceError, match=r"'data/b.jsonl', 'data/c.csv': empty, 0 bytes"):
        Source.open("data")


@pytest.mark.parametrize("content", [b'[{"a":1},{"a":2}]', b'\n{\n "a": 1\n}\n', b"  [\n{}\n]"])
def test_a_json_file_that_holds_one_document_is_an_error_that_says_what_to_do(in_folder, content):
    write(in_folder, "rows.json", content=content)
    with pytest.raises(SourceError, match=r"'rows.json' holds one JSON document; write one object"):
        Source.open("rows.json")

    write(in_folder, "rows.json", content=b'{"a":1}\n{"a":2}')
    assert [row.values["a"] for row in Source.open("rows.json").rows()] == [1, 2]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_must_not_be_read_is_an_error(in_folder):
    write(in_folder, "a.jsonl")
    (in_folder / "a.jsonl").chmod(0)
    with pytest.raises(SourceError, match=r"'a.jsonl': no permission"):
        Source.open("a.jsonl")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("s3://bucket/a.jsonl", "nstall s3fs"),
        ("gs://bucket/*.csv", "nstall gcsfs"),
        ("nowhere://a.jsonl", "Protocol not known: nowhere"),
    ],
)
def test_a_filesystem_without_its_driver_is_an_error_that_says_which(url, why):
    with pytest.raises(SourceError, match=why) as caught:
        Source.open(url)
    assert caught.value.url == url


def test_an_archive_is_read_with_a_chained_url(in_folder):
    with zipfile.ZipFile("rows.zip", "w") as archive:
        for name in ("part-10.jsonl", "part-2.jsonl"):
            archive.writestr(name, f'{{"a":"{name}"}}')

    source = Source.open("zip://*.jsonl::rows.zip")
    assert [row.values["a"] for row in source.rows()] == ["part-2.jsonl", "part-10.jsonl"]
    with pytest.raises(SourceError, match=r"nothing\.zip': cannot be opened: No such file"):
        Source.open("zip://*.jsonl::nothing.zip")


def test_passwords_and_signatures_are_never_shown():
    for url in ("nowhere://user:secret@host/a.jsonl", "https://host/a.jsonl?signature=secret"):
        with pytest.raises(SourceError, match=r"host/a.jsonl") as caught:
            Source.open(url)
        assert "secret" not in str(caught.value)


def test_files_in_memory_are_named_by_their_urls(memory):
    with fsspec.open(f"{memory}/data/part-2.jsonl", "wb") as file:
        file.write(ROW)
    with fsspec.open(f"{memory}/data/part-10.csv", "wb") as file:
        file.write(b"a\n2\n")

    expected = [f"{memory}/data/part-2.jsonl", f"{memory}/data/part-10.csv"]
    for given in (f"{memory}/data", f"{memory}/data/*"):
        source = Source.open(given)
        assert names(source) == expected
        assert [row.values for row in source.rows()] == [{"a": 1}, {"a": "2"}]
    assert names(Source.open(expected[0])) == expected[:1]


def test_two_readers_of_a_file_in_memory_do_not_move_each_other(memory):
    with fsspec.open(f"{memory}/a.jsonl", "wb") as file:
        file.write(b"".join(b'{"a":"%b%d"}\n' % (b"x" * 400_000, n) for n in range(8)))
    source = Source.open(f"{memory}/a.jsonl")

    pairs = list(zip(source.rows(), source.rows(), strict=True))
    assert len(pairs) == 8
    assert all(one == other and not one.problem for one, other in pairs)


def test_a_link_is_the_file_that_it_leads_to(in_folder):
    write(in_folder, "elsewhere/a.jsonl")
    (in_folder / "data").mkdir()
    (in_folder / "data/b.jsonl").symlink_to("../elsewhere/a.jsonl")
    source = Source.open("data")
    assert [file.size for file in source.files] == [len(ROW)]

    os.utime(in_folder / "elsewhere/a.jsonl", (1, 1))
    assert Source.open("data").fingerprint != source.fingerprint


def test_the_fingerprint_is_the_same_wherever_the_folder_is(in_folder):
    write(in_folder / "here", "a.jsonl", "b/c.csv")
    shutil.copytree(in_folder / "here", in_folder / "there/too")

    fingerprint = Source.open("here").fingerprint
    assert fingerprint == Source.open(in_folder / "there/too").fingerprint
    assert fingerprint == Source.open("here").fingerprint


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: write(folder, "a.jsonl", content=ROW * 2),
        lambda folder: os.utime(folder / "a.jsonl", (1, 1)),
        lambda folder: write(folder, "c.jsonl"),
        lambda folder: (folder / "b.jsonl").unlink(),
        lambda folder: (folder / "b.jsonl").rename(folder / "z.jsonl"),
    ],
    ids=["grown", "touched", "added", "removed", "renamed"],
)
def test_the_fingerprint_changes_with_the_files(in_folder, change):
    write(in_folder / "data", "a.jsonl", "b.jsonl")
    before = Source.open("data").fingerprint
    change(in_folder / "data")
    assert Source.open("data").fingerprint != before


def test_the_fingerprint_changes_with_files_in_memory(memory):
    prints = []
    for content in (ROW, b'{"a":2}\n'):
        with fsspec.open(f"{memory}/a.jsonl", "wb") as file:
            file.write(content)
        prints.append([Source.open(f"{memory}{end}").fingerprint for end in ("", "/a.jsonl")])
    assert prints[0][0] != prints[1][0]
    assert prints[0][1] != prints[1][1]


def test_rows_are_numbered_over_all_files_bad_ones_too(in_folder):
    write(in_folder / "data", "1.jsonl", content=b'{"a":1}\n\nbad\n{"a":2}')
    write(in_folder / "data", "2.csv", content=b"a,b\n1,2\n3\n")

    rows = list(Source.open("data").rows())
    assert [(row.number, row.place, bool(row.problem)) for row in rows] == [
        (0, "data/1.jsonl, line 1", False),
        (1, "data/1.jsonl, line 3", True),
        (2, "data/1.jsonl, line 4", False),
        (3, "data/2.csv, line 2", False),
        (4, "data/2.csv, line 3", True),
    ]
    assert rows == list(Source.open("data").rows())


def test_columns_are_known_when_every_file_has_them(in_folder):
    write(in_folder, "a.csv", content=b"id,text\n1,x\n")
    write(in_folder, "b.csv", content=b"text,more\n1,x\n")
    assert Source.open("*.csv").columns == ("id", "text", "more")

    write(in_folder, "c.jsonl")
    assert Source.open("*").columns is None


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are any bytes on Linux only")
def test_a_name_that_is_not_utf8_is_one_like_others(in_folder):
    name = os.fsdecode(b"caf\xe9.jsonl")
    write(in_folder, name)

    source = Source.open(".")

    assert [row.values for row in source.rows()] == [{"a": 1}]
    assert len(source.fingerprint) == len(source.content()) == 64
