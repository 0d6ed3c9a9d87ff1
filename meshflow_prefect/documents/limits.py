"""What the API takes of documents; more is an errored row, so it is said before it is sent.

From the pages pdf-support, vision and api/overview of platform.claude.com, autumn of 2026.
"""

from __future__ import annotations

MAX_ENCODED_BYTES = 31_000_000
"""Of one document as text or base64: 32 MB is the limit of a request, with all that it says."""

MAX_IMAGE_BYTES = 10_000_000
"""Of one image as base64."""

MAX_IMAGE_SIDE = 8_000
"""Of one image, in pixels."""

MAX_PAGES = 600
"""Of the PDF files in one request, for models with a context of a million tokens."""

MAX_PAGES_OF_SMALL_MODELS = 100
"""The same, for models with less."""

_LARGE_CONTEXT = 1_000_000


def page_limit(model: str) -> int:
    """Return how many pages of PDF a request of `model` may have.

    Of a model that the price library does not know, the most: a request that has too many pages
    after all is an errored row, which is not billed.
    """
    from genai_prices import Usage, calc_price

    try:
        found = calc_price(Usage(input_tokens=1), model, provider_id="anthropic").model
    except LookupError:
        return MAX_PAGES
    window = found.context_window
    return MAX_PAGES if window is None or window >= _LARGE_CONTEXT else MAX_PAGES_OF_SMALL_MODELS


def raw_bytes(encoded: int) -> int:
    """Return how many bytes base64 turns into so many."""
    return encoded // 4 * 3
