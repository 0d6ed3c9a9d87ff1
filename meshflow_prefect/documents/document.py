"""One document, as a request takes it, or why it cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["text", "html", "pdf", "image", "docx", "unknown"]
Block: TypeAlias = Mapping[str, Any]


class UnreadableDocumentError(Exception):
    """A document cannot be read, or the API would refuse it; the message says why."""


@dataclass(frozen=True)
class Document:
    """One document, as a request takes it, or why it cannot be read."""

    name: str
    """The file as the user would name it; a URL for remote ones, without passwords."""
    relative: str
    """Its path in the folder or glob, or its bare name: the same wherever the folder is."""
    kind: Kind
    """By the ending of its name."""
    size: int | None
    """In bytes, as stored. None where the server does not say and it was not read."""
    blocks: list[Block] = field(default_factory=list)
    """The content blocks of the Messages API that hold it; empty when there is a problem."""
    problem: str = ""
    """Why it cannot be read; empty when it can."""

    def content(self, instruction: str) -> list[Block]:
        """Return the content of a user turn: the document, and after it what to do with it."""
        return [*self.blocks, {"type": "text", "text": instruction}]
