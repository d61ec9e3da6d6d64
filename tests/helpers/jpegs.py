"""JPEG files that no program writes."""

from __future__ import annotations

import struct


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def many_scans(width: int, height: int, scans: int) -> bytes:
    """A grey progressive JPEG that goes over all of its blocks again in each of its scans."""
    one_code = bytes([1] + [0] * 15)  # a Huffman table with a single code, "0"
    blocks = -(-width // 8) * -(-height // 8)
    first = b"\0" * -(-blocks // 8)  # each block's mean is that of the one before
    runs = "0" + "1" * 14  # 32,767 empty blocks
    bits = runs * -(-blocks // 32767)
    bits += "1" * (-len(bits) % 8)
    empty = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    return b"".join(
        [
            b"\xff\xd8",
            segment(0xDB, bytes([0] + [1] * 64)),
            segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + bytes([1, 0x11, 0])),
            segment(0xC4, b"\x00" + one_code + b"\x00"),
            segment(0xC4, b"\x10" + one_code + b"\xe0"),
            segment(0xDA, bytes([1, 1, 0, 0, 0, 0])),
            first,
            (segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + empty) * scans,
            b"\xff\xd9",
        ]
    )
