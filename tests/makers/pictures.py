"""Images as bytes: valid ones in the forms that cameras, scanners and programs write, and damaged ones."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import ExifTags, Image

from revcd_cli.data.photos import images


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def photo(width: int = 96, height: int = 64) -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, *, depth: int = 8, colour: int = 2, rows: bytes = b"", before: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def patched(data: bytes, position: int, new: bytes) -> bytes:
    return data[:position] + new + data[position + len(new) :]


JPEG, PNG = encoded(photo(), "JPEG", quality=95), encoded(photo())
GIF, WEBP, TIFF = (encoded(photo(), kind) for kind in ("GIF", "WEBP", "TIFF"))
ZIPPED_TIFF = encoded(photo(), "TIFF", compression="tiff_adobe_deflate")
HEIC = b"\0\0\0\x18ftypheic" + bytes(80)
BAD = {
    "no-bytes": (b"", "empty_file"),
    "one-byte": (b"\xff", "corrupt"),
    "jpeg-magic": (JPEG[:4], "corrupt"),
    "text": (b"not a photo at all\n" * 9, "unsupported_format"),
    "text-cut-inside-a-letter": ("é".encode() * 300 + b"x", "unsupported_format"),
    "other-binary": (bytes(range(1, 256)), "unsupported_format"),
    "web-page": (b"\xef\xbb\xbf\n<!DOCTYPE html><html>404", "unsupported_format"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "unsupported_format"),
    "half-a-jpeg": (JPEG[: len(JPEG) // 2], "truncated"),
    "half-a-gif": (GIF[: len(GIF) // 2], "truncated"),
    "half-a-webp": (WEBP[: len(WEBP) // 2], "truncated"),
    "half-a-tiff": (TIFF[: len(TIFF) // 2], "truncated"),
    "half-a-compressed-tiff": (ZIPPED_TIFF[: len(ZIPPED_TIFF) // 2], "truncated"),
    "jpeg-without-its-end": (JPEG[:-2], "truncated"),
    "half-a-png": (PNG[: len(PNG) // 2], "truncated"),
    "bad-idat": (patched(PNG, len(PNG) // 2, b"\0" * 40), "corrupt"),
    "bad-header-sum": (patched(PNG, 29, b"\0\0\0\0"), "corrupt"),
    "giant-header": (png(60_000, 60_000), "too_large"),
    "large-header": (png(15_000, 10_000), "too_large"),
    "tall-strip": (encoded(Image.new("L", (1, 5000))), "extreme_aspect"),
    "flat-strip": (encoded(Image.new("L", (20_000, 2))), "extreme_aspect"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported_format"),
    "binary-eps": (b"\xc5\xd0\xd3\xc6" + bytes(60), "unsupported_format"),
    "pdf": (b"%PDF-1.7\n" + bytes(60), "unsupported_format"),
    "svg": (b"<?xml version='1.0'?><svg/>", "unsupported_format"),
    "format-off-the-list": (encoded(photo(), "PPM"), "unsupported_format"),
    "not-a-number": (encoded(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF"), "corrupt"),
}


RAMP16 = np.tile(np.arange(256, dtype=np.uint16) * 257, (32, 1))  # (32, 256): every 8-bit value, widened exactly
RAMP8 = (RAMP16 // 257).astype(np.uint8)
WIDE = {
    "16-bit-png": encoded(Image.fromarray(RAMP16)),
    "16-bit-tiff": encoded(Image.fromarray(RAMP16), "TIFF"),
    "16-bit-big-endian-tiff": encoded(Image.fromarray(RAMP16.astype(">u2")), "TIFF"),
    "16-bit-rgb-png": png(
        256,
        32,
        depth=16,
        rows=b"".join(b"\0" + row.astype(">u2").tobytes() for row in np.repeat(RAMP16[:, :, None], 3, axis=2)),
    ),
    "32-bit-tiff-of-8-bits": encoded(Image.fromarray(RAMP8.astype(np.int32)), "TIFF"),
    "32-bit-tiff-of-16-bits": encoded(Image.fromarray(RAMP16.astype(np.int32)), "TIFF"),
    "32-bit-tiff": encoded(Image.fromarray(RAMP16.astype(np.int32) << 15), "TIFF"),
    "float-tiff-to-1": encoded(Image.fromarray((RAMP8 / 255).astype(np.float32)), "TIFF"),
    "float-tiff-to-255": encoded(Image.fromarray(RAMP8.astype(np.float32)), "TIFF"),
    "float-tiff-of-any-range": encoded(Image.fromarray((RAMP8 * 1e6).astype(np.float32)), "TIFF"),
}


def half_hidden(colour: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGBA", (8, 8), (10, 20, 30, 255))
    image.paste((*colour, 0), (0, 0, 4, 8))
    return image


def turned(kind: str, orientation: int, **options: object) -> bytes:
    """Return one scene stored in an EXIF orientation: rotated pixels and the tag that reverses the rotation."""
    turn_back = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    stored = photo() if orientation == 1 else photo().transpose(images._UPRIGHT[turn_back])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encoded(stored, kind, exif=exif, **options)


def orientation_exif(kind: int, value: int) -> bytes:
    """Return an EXIF block whose orientation has this TIFF type and this value."""
    entry = struct.pack("<HHHII", 1, ExifTags.Base.Orientation, kind, 4 if kind == 2 else 1, value)
    return b"Exif\0\0II*\0\x08\0\0\0" + entry + bytes(4)


BROKEN_EXIF = (b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff")


def animated(kind: str) -> bytes:
    """Return an animation of three frames; the first is red."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)


def premultiplied() -> tuple[bytes, bytes]:
    """Return a TIFF of half-transparent grey, and the same image premultiplied (mode La)."""
    plain = encoded(Image.new("LA", (4, 4), (100, 128)), "TIFF")
    tag = struct.pack("<HHI", ExifTags.Base.ExtraSamples, 3, 1)
    other = patched(plain, plain.index(tag) + len(tag), struct.pack("<H", 1))
    return plain, other.replace(bytes((100, 128)) * 16, bytes((50, 128)) * 16)
