"""Plain text, Markdown and HTML → text."""

from __future__ import annotations

import codecs
import re
from html.parser import HTMLParser

from meshflow_prefect.documents.document import Block, UnreadableDocumentError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # The longer ones first: that of UTF-32 begins like that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(rb"<meta[^>]+charset=[\"']?\s*([a-zA-Z0-9_.:-]+)", re.IGNORECASE)
_LOOKED_AT = 2048  # bytes in which HTML has to declare its encoding, twice what its standard says

_UNSEEN = frozenset({"script", "style", "template", "noscript", "svg", "math"})
_LINES = re.compile(
    "address|article|aside|blockquote|body|br|caption|dd|details|div|dl|dt|fieldset|figcaption|"
    "figure|footer|form|h[1-6]|header|hr|html|li|main|nav|ol|option|p|pre|section|summary|table|"
    "tbody|tfoot|thead|title|tr|ul"
)
_CELLS = frozenset({"td", "th"})
_BLANKS = re.compile(r"[ \t\r\f\v\xa0]+")
_BLANK_LINES = re.compile(r"\n\s*\n+")


def read_text(data: bytes, title: str) -> list[Block]:
    """Return plain text or Markdown as it stands."""
    return [text_block(_decoded(data), title)]


def read_html(data: bytes, title: str) -> list[Block]:
    """Return what a reader of HTML sees: without scripts and styles, a line for each block."""
    declared = _DECLARED.search(data[:_LOOKED_AT])
    reader = _Reader()
    reader.feed(_decoded(data, declared[1].decode() if declared else None))
    reader.close()
    return [text_block(reader.text(), title)]


def text_block(text: str, title: str) -> Block:
    """Return a text as a document of the Messages API.

    Raises `UnreadableDocumentError` where there is nothing to read in it.
    """
    if not text.strip():
        raise UnreadableDocumentError("it holds no text")
    source = {"type": "text", "media_type": "text/plain", "data": text}
    return {"type": "document", "source": source, "title": title}


def _decoded(data: bytes, declared: str | None = None) -> str:
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), None)
    encoding = encoding or declared or "utf-8"
    try:
        return data.decode(encoding)
    except LookupError:
        raise UnreadableDocumentError(f"its encoding {encoding!r} is not known") from None
    except UnicodeDecodeError as error:
        raise UnreadableDocumentError(
            f"it is not {encoding.upper()} text (byte {error.start:,}); save it as UTF-8"
        ) from None


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._unseen = 0
        self._preformatted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag in _CELLS:
            self._parts.append("\t")
        elif _LINES.fullmatch(tag):
            self._parts.append("\n")
        self._preformatted += tag == "pre"
        if tag == "img" and not self._unseen:
            self._parts.append(dict(attrs).get("alt") or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # A tag that ends itself, such as <br/> or <script/>, has no text of its own to leave out.
        if tag not in _UNSEEN:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre":
            self._preformatted = max(0, self._preformatted - 1)
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif _LINES.fullmatch(tag):
            self._parts.append("\n")

    def handle_data(self, data: str) -> None:
        if self._unseen:
            return
        if not self._preformatted:
            # A line end in the source is a blank; those that count come from the tags.
            data = _BLANKS.sub(" ", data.replace("\n", " "))
        self._parts.append(data)

    def text(self) -> str:
        lines = (line.strip() for line in "".join(self._parts).split("\n"))
        return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()
