"""Every document is the content blocks that the API takes, or says why it cannot be read."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import BatchRequest, MeshflowError
from meshflow_prefect.documents import Document, Documents, page_limit
from meshflow_prefect.documents.document import UnreadableDocumentError
from meshflow_prefect.documents.images import read_image
from meshflow_prefect.documents.pdf import read_pdf
from meshflow_prefect.documents.texts import read_html, read_text
from meshflow_prefect.documents.word import read_docx
from meshflow_prefect.errors import SourceError
from tests.support import papers


def read(folder: Path, **files: bytes) -> dict[str, Document]:
    for name, data in files.items():
        (folder / name.replace("__", ".")).write_bytes(data)
    return {document.relative: document for document in Documents.open(folder)}


def only(folder: Path, name: str, data: bytes, **options) -> Document:
    (folder / name).write_bytes(data)
    (document,) = Documents.open(folder / name, **options)
    return document


def text_of(document: Document) -> str:
    (block,) = document.blocks
    assert block["source"]["type"] == "text", document
    return block["source"]["data"]


def test_texts_are_plain_text_documents_with_their_names(tmp_path):
    found = read(tmp_path, a__txt=b"Plain.", b__md="# Größe\n".encode())

    assert found["a.txt"].blocks == [
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "Plain."},
            "title": "a.txt",
        }
    ]
    assert text_of(found["b.md"]) == "# Größe\n"
    assert (found["b.md"].kind, found["b.md"].size) == ("text", 10)
    assert found["b.md"].name == str(tmp_path / "b.md")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path, encoding):
    bom = "\ufeff" if encoding == "utf-16-le" else ""
    assert text_of(only(tmp_path, "a.txt", f"{bom}Größe".encode(encoding))) == "Größe"


HTML = b"""<!DOCTYPE html><html><head><title>Tides</title><style>p {color: red}</style>
<script>var x = "<p>no</p>";</script></head><body><h1>High &amp; low</h1>
<p>First line<br>second
 line &#8212; it is <b>bold</b>.</p><ul><li>one</li><li>two</li></ul>
<table><tr><th>Port</th><th>Hour</th></tr><tr><td>Aden</td><td>7</td></tr></table>
<pre>x = 1
y = 2</pre><noscript>Turn it on.</noscript><img src="a.png" alt="A chart"></body></html>"""


def test_html_is_what_a_reader_sees_of_it(tmp_path):
    assert text_of(only(tmp_path, "a.html", HTML)) == (
        "Tides\n\nHigh & low\n\nFirst line\nsecond line — it is bold.\n\none\n\ntwo\n\n"
        "Port\tHour\n\nAden\t7\n\nx = 1\ny = 2\nA chart"
    )


def test_html_declares_its_encoding(tmp_path):
    page = '<meta charset="iso-8859-1"><p>Größe</p>'
    assert text_of(only(tmp_path, "a.htm", page.encode("latin-1"))) == "Größe"
    unknown = only(tmp_path, "b.htm", page.replace("iso-8859-1", "klingon").encode())
    assert unknown.problem == "its encoding 'klingon' is not known"


def test_a_word_file_is_its_paragraphs_and_tables_in_order(tmp_path):
    data = papers.word("Dear all,", "it is low.", table=[["Port", "Hour"], ["Aden", "7"]])
    assert text_of(only(tmp_path, "a.docx", data)) == (
        "Dear all,\nit is low.\nPort\tHour\nAden\t7\nThe end."
    )


def test_a_pdf_goes_to_the_model_as_it_is(tmp_path):
    data = papers.pdf(3)
    (block,) = only(tmp_path, "A.PDF", data).blocks

    assert (block["type"], block["title"]) == ("document", "A.PDF")
    assert block["source"]["media_type"] == "application/pdf"
    assert base64.b64decode(block["source"]["data"]) == data


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_an_image_has_the_kind_of_its_content_whatever_its_ending(tmp_path, kind):
    data = papers.image(kind)
    (block,) = only(tmp_path, "a.png", data).blocks

    assert block["type"] == "image"
    assert block["source"]["media_type"] == f"image/{kind.lower()}"
    assert base64.b64decode(block["source"]["data"]) == data


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("a.txt", b"", "it is empty, 0 bytes"),
        ("a.pdf", b"", "it is empty, 0 bytes"),
        ("a.txt", b" \n\t", "it holds no text"),
        ("a.txt", b"caf\xe9", "it is not UTF-8 text (byte 3); save it as UTF-8"),
        ("a.html", b"<script>x</script>", "it holds no text"),
        ("a.docx", b"PK but no zip", "it is not a Word file, or broken: File is not a zip file"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1", "it is encrypted, or a file of Word before 2007"),
        ("a.docx", papers.word(), "it holds no text"),
        ("a.docx", papers.word("x")[:-200], "it is not a Word file, or broken"),
        ("a.pdf", b"not a pdf", "it is not a PDF, or broken"),
        ("a.pdf", papers.pdf(2)[:150], "it is not a PDF, or broken"),
        ("a.pdf", papers.pdf(0), "it has no pages"),
        ("a.pdf", papers.pdf(password="secret"), "it is encrypted; save it without a password"),
        ("a.pdf", papers.pdf(password=""), "it is encrypted; save it without a password"),
        ("a.pdf", papers.pdf(101), "it has 101 pages; the API takes at most 100 of this model"),
        ("a.png", b"not an image", "it is not an image of the kinds PNG, JPEG, GIF, WEBP"),
        ("a.png", papers.image("BMP"), "it is not an image of the kinds PNG"),
        ("a.jpg", papers.image("JPEG", 300, 300)[:-900], "it is a broken image: image file is tr"),
        ("a.png", papers.image("PNG", 8001, 1), "it has 8,001 × 1 pixels; the API takes at most 8"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + b"0" * 7_500_000, "larger than the 7,500,000 bytes that"),
        ("a.xlsx", b"PK", "documents of its kind are not read; known endings are .txt, "),
        ("README", b"Text.", "documents of its kind are not read"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, name, data, problem):
    document = only(tmp_path, name, data)

    assert problem in document.problem
    assert document.blocks == []


def test_a_file_that_is_gone_when_it_is_read_says_so_and_the_next_ones_follow(tmp_path):
    read(tmp_path, a__txt=b"One.", c__txt=b"Three.")
    documents = Documents.open(tmp_path)
    (tmp_path / "a.txt").unlink()

    assert {each.relative: each.problem for each in documents} == {
        "a.txt": "it cannot be opened: No such file or directory",
        "c.txt": "",
    }


def test_documents_come_in_natural_order_with_subfolders_and_without_hidden_files(tmp_path):
    names = ["page-10.txt", "page-2.txt", "a/z.txt", ".hidden.txt", "_tmp/x.txt", "B.md"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")

    documents = Documents.open(tmp_path)

    assert [each.relative for each in documents] == ["B.md", "a/z.txt", "page-2.txt", "page-10.txt"]
    assert list(documents) == list(documents)
    assert len(documents) == 4
    assert [each.relative for each in Documents.open(tmp_path / "page-*")] == [
        "page-2.txt",
        "page-10.txt",
    ]


def test_documents_can_be_anywhere_that_fsspec_reaches():
    store = fsspec.filesystem("memory")
    store.pipe({"/papers/a.txt": b"One.", "/papers/b.pdf": papers.pdf()})

    found = list(Documents.open("memory://papers"))

    assert [each.relative for each in found] == ["a.txt", "b.pdf"]
    assert [each.problem for each in found] == ["", ""]


def test_a_place_without_documents_is_an_error(tmp_path):
    with pytest.raises(SourceError, match="there are no files"):
        Documents.open(tmp_path)
    with pytest.raises(SourceError, match="there is no such file or folder"):
        Documents.open(tmp_path / "none.pdf")
    with pytest.raises(SourceError, match="there are no files"):
        Documents.open(tmp_path / "*.pdf")


def test_one_document_is_held_at_a_time(tmp_path):
    read(tmp_path, a__txt=b"One.", b__txt=b"Two.")
    documents = iter(Documents.open(tmp_path))
    next(documents)
    (tmp_path / "b.txt").write_bytes(b"Changed.")
    assert text_of(next(documents)) == "Changed."


def test_the_instruction_comes_after_the_document(tmp_path):
    document = only(tmp_path, "a.txt", b"Plain.")
    content = document.content("What is it?")
    request = BatchRequest("a", messages=[{"role": "user", "content": content}])

    assert [block["type"] for block in content] == ["document", "text"]
    assert json.loads(json.dumps(request.to_api_request()))["params"]["messages"][0]["content"]


@pytest.mark.parametrize(
    ("model", "pages"),
    [
        ("claude-haiku-4-5-20251001", 100),
        ("claude-sonnet-4-5", 100),
        ("claude-opus-5", 600),
        ("claude-haiku-5-5", 600),
        ("claude-of-tomorrow", 600),
    ],
)
def test_how_many_pages_a_pdf_may_have_depends_on_the_model(tmp_path, model, pages):
    assert page_limit(model) == pages
    document = only(tmp_path, "a.pdf", papers.pdf(101), max_pages=page_limit(model))
    assert bool(document.problem) == (pages == 100)


READERS = {
    "pdf": lambda data: read_pdf(data, "a", 100),
    "image": read_image,
    "docx": lambda data: read_docx(data, "a"),
    "html": lambda data: read_html(data, "a"),
    "text": lambda data: read_text(data, "a"),
}
WHOLE = {
    "pdf": papers.pdf(2),
    "image": papers.image(),
    "docx": papers.word("Hello."),
    "html": HTML,
    "text": "Größe".encode(),
}


@pytest.mark.filterwarnings("ignore")
@given(st.sampled_from(sorted(READERS)), st.data())
def test_whatever_is_broken_there_are_blocks_or_a_reason(kind, data):
    broken = bytearray(WHOLE[kind])
    for at in data.draw(st.lists(st.integers(0, len(broken) - 1), max_size=12)):
        broken[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(broken)))

    with suppress(UnreadableDocumentError):
        (block,) = READERS[kind](bytes(broken[:end]))
        assert block["type"] == ("image" if kind == "image" else "document")


def test_a_missing_package_is_an_error_before_anything_is_read(tmp_path):
    read(tmp_path, a__pdf=papers.pdf())
    code = (
        "import sys; sys.modules['pypdf'] = None\n"
        "from meshflow_prefect.documents import Documents\n"
        f"Documents.open({str(tmp_path)!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ)
    )
    assert "Reading PDF files needs the package 'pypdf'" in done.stderr
    assert "pip install 'meshflow-prefect[documents]'" in done.stderr
    assert MeshflowError.__name__ in done.stderr
