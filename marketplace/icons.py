"""Icons: decoded within bounds and encoded anew, so that nothing but pixels is left (hostile row F06)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from io import BytesIO

from PIL import Image

MAX_BYTES = 256 << 10
MAX_SIDE = 1024
SIDE = 256
_NAMES = ("icon.png", "icon.webp", "icon.jpg", "icon.jpeg")
_FORMATS = ("PNG", "JPEG", "WEBP")


def find(files: Mapping[str, bytes]) -> str | None:
    """The file that holds the icon."""
    return next((name for name in _NAMES if name in files), None)


def problem(content: bytes) -> str:
    """Why it cannot be used; empty: it can."""
    try:
        encode(content)
    except ValueError as error:
        return str(error)
    return ""


def encode(content: bytes) -> bytes:
    """A PNG of at most 256 × 256 pixels without any metadata.

    Raises:
        ValueError: too many bytes or pixels, another format, or damaged.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES >> 10} kB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(content), formats=_FORMATS) as picture:
                # Known from the header, before a pixel is decoded.
                small = max(picture.size) <= MAX_SIDE
                pixels = picture.convert("RGBA") if small else None
    except Exception as error:  # noqa: BLE001  Pillow's decoders raise many kinds for damaged pictures
        raise ValueError(f"is not a PNG, JPEG or WebP picture ({type(error).__name__})") from None
    if pixels is None:
        raise ValueError(f"has more than {MAX_SIDE} × {MAX_SIDE} pixels")
    pixels.thumbnail((SIDE, SIDE))
    clean = Image.new("RGBA", pixels.size)
    clean.paste(pixels)
    stream = BytesIO()
    clean.save(stream, "PNG", optimize=True)
    return stream.getvalue()
