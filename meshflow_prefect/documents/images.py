"""Images → an image block, once it is known that they can be decoded."""

from __future__ import annotations

import base64
import io
import struct
import warnings
import zlib
from typing import Any

from meshflow_prefect.documents.document import Block, UnreadableDocumentError
from meshflow_prefect.documents.limits import MAX_IMAGE_SIDE
from meshflow_prefect.extras import import_extra

_KINDS = ("PNG", "JPEG", "GIF", "WEBP")
_MEDIA_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",  # what Pillow calls a JPEG with several pictures, as cameras make them
    "GIF": "image/gif",
    "WEBP": "image/webp",
}


def read_image(data: bytes) -> list[Block]:
    """Return an image as it is; what it is called by its ending is of no matter."""
    pillow = import_pillow()
    try:
        with warnings.catch_warnings():
            # Images of too many pixels are refused below, before they are decoded.
            warnings.simplefilter("ignore", pillow.DecompressionBombWarning)
            with pillow.open(io.BytesIO(data), formats=_KINDS) as image:
                kind, width, height = image.format, image.width, image.height
                if max(width, height) <= MAX_IMAGE_SIDE:
                    image.load()
    # What Pillow raises for broken files; an unknown kind is an OSError, a broken PNG the others.
    except (
        pillow.DecompressionBombError,
        ArithmeticError,
        EOFError,
        LookupError,
        OSError,
        SyntaxError,
        TypeError,
        ValueError,
        struct.error,
        zlib.error,
    ) as error:
        raise UnreadableDocumentError(_reason(error)) from None
    if max(width, height) > MAX_IMAGE_SIDE:
        raise UnreadableDocumentError(
            f"it has {width:,} × {height:,} pixels; the API takes at most {MAX_IMAGE_SIDE:,} a side"
        )
    encoded = base64.b64encode(data).decode()
    source = {"type": "base64", "media_type": _MEDIA_TYPES[kind], "data": encoded}
    return [{"type": "image", "source": source}]


def import_pillow() -> Any:
    """Return Pillow's `Image`; raise `MeshflowError`, naming the extra, where it is missing."""
    return import_extra("PIL.Image", extra="documents", what="Reading images")


def _reason(error: Exception) -> str:
    if "cannot identify image file" in str(error):
        return f"it is not an image of the kinds {', '.join(_KINDS)}, or broken"
    return f"it is a broken image: {error}"
