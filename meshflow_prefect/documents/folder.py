"""A folder, a glob or a URL → its documents, read one at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from meshflow_prefect.documents.document import Block, Document, Kind, UnreadableDocumentError
from meshflow_prefect.documents.images import import_pillow, read_image
from meshflow_prefect.documents.limits import (
    MAX_ENCODED_BYTES,
    MAX_IMAGE_BYTES,
    MAX_PAGES_OF_SMALL_MODELS,
    raw_bytes,
)
from meshflow_prefect.documents.pdf import import_pypdf, read_pdf
from meshflow_prefect.documents.texts import read_html, read_text
from meshflow_prefect.documents.word import import_docx, read_docx
from meshflow_prefect.errors import SourceError
from meshflow_prefect.file_contents import contents_of, versions_of
from meshflow_prefect.filesystems import open_filesystem, shown
from meshflow_prefect.reading.listing import find_files, version_of

KINDS: Mapping[str, Kind] = {
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".markdown": "text",
    ".html": "html",
    ".htm": "html",
    ".pdf": "pdf",
    ".png": "image",
    ".jpg": "image",
    ".jpeg": "image",
    ".gif": "image",
    ".webp": "image",
    ".docx": "docx",
}
_PACKAGES = {"pdf": import_pypdf, "image": import_pillow, "docx": import_docx}
_MOST_BYTES: Mapping[Kind, int] = {
    "pdf": raw_bytes(MAX_ENCODED_BYTES),
    "image": raw_bytes(MAX_IMAGE_BYTES),
}


@dataclass(frozen=True)
class _File:
    path: str
    name: str
    relative: str
    kind: Kind
    size: int | None
    version: str


class Documents:
    """The documents of one file, a glob or a folder; local or any fsspec URL.

    Kinds are told by the ending: `.txt`, `.md`, `.html`, `.pdf`, `.png`, `.jpg`, `.gif`, `.webp`
    and `.docx`. A document of another kind, or one that cannot be read, is one with a `problem`, so
    that nothing is left out unnoticed.
    """

    def __init__(
        self, *, url: str, filesystem: Any, files: tuple[_File, ...], max_pages: int
    ) -> None:
        self.url = url
        """Where they are, as it was given, without passwords."""
        self._filesystem = filesystem
        self._files = files
        self._max_pages = max_pages

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str],
        *,
        max_pages: int = MAX_PAGES_OF_SMALL_MODELS,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Documents:
        """List the documents. Nothing is read yet.

        They are in natural order of their paths: `page-2` comes before `page-10`. A folder is
        searched with all its subfolders; names that start with `.` or `_`, and what is in such
        folders, are left out.

        Args:
            url: A path, or a URL of fsspec.
            max_pages: The most pages that a PDF may have; see `page_limit`.
            storage_options: What its filesystem takes: a region, an endpoint, credentials, …

        Raises:
            SourceError: there is nothing, or a folder or glob without files.
            MeshflowError: a package that reads one of the kinds is not installed.
        """
        filesystem, path = open_filesystem(url, storage_options, SourceError)
        files = tuple(
            _File(
                path=info["name"],
                name=name,
                relative=relative,
                kind=_kind_of(relative),
                size=info.get("size"),
                version=version_of(filesystem, info),
            )
            for info, relative, name in find_files(filesystem, path, os.fspath(url))
        )
        for kind in {file.kind for file in files} & _PACKAGES.keys():
            _PACKAGES[kind]()
        return cls(url=shown(url), filesystem=filesystem, files=files, max_pages=max_pages)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of the files' names, sizes and versions, for which nothing is read.

        Another when a document came, went, was renamed or changed.
        """
        return versions_of(self._files)

    def content(self) -> str:
        """Return a hex digest of the files' names and of what is in them; see `contents_of`."""
        return contents_of(self._files, self._filesystem, self.url)

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[Document]:
        """Read one document after the other, in order; may be done again.

        Memory holds one document. A file that cannot be read, is empty, broken or encrypted, or
        larger than the API takes, is a document with a `problem`, and the next ones follow.
        """
        return (self._read(file) for file in self._files)

    def _read(self, file: _File) -> Document:
        try:
            blocks, size = self._blocks(file)
        except UnreadableDocumentError as error:
            return self._document(file, file.size, problem=str(error))
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            return self._document(file, file.size, problem=f"it cannot be opened: {reason}")
        return self._document(file, size, blocks=blocks)

    def _blocks(self, file: _File) -> tuple[list[Block], int]:
        if file.kind == "unknown":
            raise UnreadableDocumentError(
                f"documents of its kind are not read; known endings are {', '.join(KINDS)}"
            )
        most = _MOST_BYTES.get(file.kind, MAX_ENCODED_BYTES)
        with self._filesystem.open(file.path, "rb") as stored:
            data = stored.read(most + 1)
        if not data:
            raise UnreadableDocumentError("it is empty, 0 bytes")
        if len(data) > most:
            raise UnreadableDocumentError(
                f"it is larger than the {most:,} bytes that the API takes"
            )
        if file.kind == "pdf":
            return read_pdf(data, file.relative, self._max_pages), len(data)
        if file.kind == "image":
            return read_image(data), len(data)
        readers = {"html": read_html, "docx": read_docx, "text": read_text}
        return readers[file.kind](data, file.relative), len(data)

    def _document(
        self, file: _File, size: int | None, *, blocks: list[Block] | None = None, problem: str = ""
    ) -> Document:
        return Document(file.name, file.relative, file.kind, size, blocks or [], problem)


def _kind_of(relative: str) -> Kind:
    stem, dot, ending = relative.lower().rpartition(".")
    return KINDS.get(f"{dot}{ending}", "unknown") if stem else "unknown"
