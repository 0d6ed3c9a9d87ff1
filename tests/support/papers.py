"""Documents of every kind, made when a test needs them."""

from __future__ import annotations

import io
import random

import docx
import pypdf
from PIL import Image


def pdf(pages: int = 1, *, password: str | None = None) -> bytes:
    """Return a PDF of blank pages."""
    writer = pypdf.PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(width=200, height=200)
    if password is not None:
        writer.encrypt(password, algorithm="RC4-128")
    return _written(writer.write)


def image(kind: str = "PNG", width: int = 8, height: int = 6) -> bytes:
    """Return an image of one colour."""
    picture = Image.new("RGB", (width, height), "navy")
    return _written(lambda file: picture.save(file, kind))


def word(*paragraphs: str, table: list[list[str]] | None = None) -> bytes:
    """Return a Word file of these paragraphs, a table after them, and a last paragraph."""
    document = docx.Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    if table is not None:
        made = document.add_table(len(table), len(table[0]))
        for row, texts in zip(made.rows, table, strict=True):
            for cell, text in zip(row.cells, texts, strict=True):
                cell.text = text
        document.add_paragraph("The end.")
    return _written(document.save)


def noise(side: int, seed: int, kind: str = "PNG") -> bytes:
    """Return an image of colours by chance, so that it takes its room."""
    pixels = random.Random(seed).randbytes(3 * side * side)
    picture = Image.frombytes("RGB", (side, side), pixels)
    return _written(lambda file: picture.save(file, kind))


def _written(write: object) -> bytes:
    file = io.BytesIO()
    assert callable(write)
    write(file)
    return file.getvalue()
