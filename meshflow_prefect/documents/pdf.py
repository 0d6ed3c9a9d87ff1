"""PDF files → a document block; the model reads text and pictures itself."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

from meshflow_prefect.documents.document import Block, UnreadableDocumentError
from meshflow_prefect.extras import import_extra


def read_pdf(data: bytes, title: str, max_pages: int) -> list[Block]:
    """Return a PDF as it is, once it is known that it can be opened and has not too many pages."""
    pypdf = import_pypdf()
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        encrypted = reader.is_encrypted
        pages = 0 if encrypted else len(reader.pages)
    # Of broken files pypdf raises errors of its own, and what a wrong value leads to.
    except (
        pypdf.errors.PyPdfError,
        ArithmeticError,
        AttributeError,
        LookupError,
        OSError,
        RecursionError,
        TypeError,
        ValueError,
        struct.error,
        zlib.error,
    ) as error:
        raise UnreadableDocumentError(f"it is not a PDF, or broken: {error}") from None
    if encrypted:
        raise UnreadableDocumentError("it is encrypted; save it without a password")
    if not pages:
        raise UnreadableDocumentError("it has no pages")
    if pages > max_pages:
        raise UnreadableDocumentError(
            f"it has {pages:,} pages; the API takes at most {max_pages:,} of this model; split it"
        )
    encoded = base64.b64encode(data).decode()
    source = {"type": "base64", "media_type": "application/pdf", "data": encoded}
    return [{"type": "document", "source": source, "title": title}]


def import_pypdf() -> Any:
    """Return the package `pypdf`; raise `MeshflowError`, naming the extra, where it is missing."""
    import_extra("pypdf.errors", extra="documents", what="Reading PDF files")
    return import_extra("pypdf", extra="documents", what="Reading PDF files")
