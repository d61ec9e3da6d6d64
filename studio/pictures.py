"""Pictures as a page takes them: within the answer, so that it takes one round trip and nothing is kept on disk."""

from __future__ import annotations

import base64
import io

from PIL import Image


def png(image: Image.Image) -> str:
    """A data: address. Lossless, at its fastest."""
    return _data_url(image, "PNG", compress_level=1)


def jpeg(image: Image.Image, side: int | None = None) -> str:
    """A data: address, for photographs. ``side``: px, at most, of the long side."""
    if side:
        image = image.copy()
        image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return _data_url(image, "JPEG", quality=85)


def svg(text: str) -> str:
    """A data: address of an SVG document."""
    return f"data:image/svg+xml;base64,{base64.b64encode(text.encode()).decode()}"


def encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    """A file's bytes. ``kind``: as Pillow names it."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _data_url(image: Image.Image, kind: str, **options: int) -> str:
    return f"data:image/{kind.lower()};base64,{base64.b64encode(encoded(image, kind, **options)).decode()}"
