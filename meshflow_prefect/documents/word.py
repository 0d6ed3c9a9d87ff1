"""Word files → text: paragraphs and tables in their order."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from meshflow_prefect.documents.document import Block, UnreadableDocumentError
from meshflow_prefect.documents.texts import text_block
from meshflow_prefect.extras import import_extra

_MOST_UNPACKED = 500_000_000
"""In bytes. A small file that unpacks to more would fill the memory."""


def read_docx(data: bytes, title: str) -> list[Block]:
    """Return the text of a Word file, without headers, footers, notes, comments and pictures."""
    docx = import_docx()
    # Word encrypts into the container of older Office files.
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise UnreadableDocumentError("it is encrypted, or a file of Word before 2007 (.doc)")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MOST_UNPACKED:
                raise UnreadableDocumentError(f"it unpacks to more than {_MOST_UNPACKED:,} bytes")
        text = "\n".join(_lines(docx.Document(io.BytesIO(data)).iter_inner_content()))
    # What python-docx, lxml and the unpacking raise for broken files; lxml's is a SyntaxError.
    except (
        zipfile.BadZipFile,
        docx.opc.exceptions.OpcError,
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        OSError,
        RuntimeError,
        SyntaxError,
        TypeError,
        struct.error,
        zlib.error,
    ) as error:
        raise UnreadableDocumentError(f"it is not a Word file, or broken: {error}") from None
    except ValueError:
        # Of an Office file of another kind: its message holds an address in memory.
        raise UnreadableDocumentError("it is not a Word file") from None
    return [text_block(text, title)]


def import_docx() -> Any:
    """Return the package `docx`; raise `MeshflowError`, naming the extra, where it is missing."""
    import_extra("docx.opc.exceptions", extra="documents", what="Reading Word files")
    return import_extra("docx", extra="documents", what="Reading Word files")


def _lines(parts: Iterable[Any]) -> Iterator[str]:
    for part in parts:
        # A paragraph has a text; a table has rows of cells, and these hold such parts again.
        if hasattr(part, "rows"):
            for row in part.rows:
                cells = (" ".join(_lines(cell.iter_inner_content())) for cell in row.cells)
                yield "\t".join(cells)
        else:
            yield part.text
