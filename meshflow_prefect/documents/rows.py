"""Documents → the rows of a file job: one for each, whether it can be read or not."""

from __future__ import annotations

from collections.abc import Iterator

from meshflow_prefect.documents.folder import Documents
from meshflow_prefect.reading.rows import Row

ID, BLOCKS = "id", "blocks"
"""What a row holds: the document's relative path, and the content blocks that it is sent as."""


class DocumentRows:
    """A `RowSource` of documents.

    The output has the `path`, `kind` and `bytes` of each, not its content.
    """

    columns = None
    """Not every row has the blocks."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    @property
    def url(self) -> str:
        """Where the documents are."""
        return self._documents.url

    @property
    def fingerprint(self) -> str:
        """See `Documents.fingerprint`."""
        return self._documents.fingerprint

    def rows(self) -> Iterator[Row]:
        """Yield a row for each document, in their order; memory holds one of them."""
        for number, document in enumerate(self._documents):
            named = {ID: document.relative}
            yield Row(
                number,
                document.name,
                0,
                named if document.problem else {**named, BLOCKS: document.blocks},
                document.problem,
                {"path": document.name, "kind": document.kind, "bytes": document.size},
            )
