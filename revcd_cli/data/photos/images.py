"""Decode the bytes of a photo to an RGB image, or return the reason why it cannot be decoded."""

from __future__ import annotations

import contextlib
import ctypes
import io
import struct
from dataclasses import dataclass

from PIL import ExifTags, Image, UnidentifiedImageError

try:
    import pillow_heif
except ImportError:
    pillow_heif = None
else:
    pillow_heif.register_heif_opener()

from ...errors import brief
from .image_failures import (
    accepts,
    declares_more,
    has_unusual_compression,
    is_text,
    other_format,
    unreadable_variant,
)
from .raw_previews import is_large_enough, largest_preview, preview_orientation, raw_kind
from .wide_values import is_wide_colour, scale_wide_colour, to_8_bits

REASONS = (
    "not_found",
    "permission",
    "not_a_file",
    "empty_file",
    "unsupported_format",
    "truncated",
    "corrupt",
    "too_large",
    "extreme_aspect",
    "out_of_memory",
    "decode_error",
    "non_finite_feature",
    "vanished",
    "changed",
    "remote_error",
    "no_box",  # a detector found nothing to classify
    "detector_failed",
)

MAX_PIXELS = 89_478_485  # Pillow warns of a decompression bomb above this, and raises above twice as many
MAX_BYTES = 1 << 28  # of one file: MAX_PIXELS uncompressed RGB pixels
MAX_ASPECT = 50  # longer to shorter side; preprocessing enlarges the shorter side, so a strip would need gigabytes

# Files in folders are selected by suffix. The content decides the decoder: a JPEG named .heic is a JPEG.
PHOTO_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif"),
    *(".avif", ".heic", ".heif", ".hif"),
)
SUPPORTED_TYPES = "JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF, and HEIC with pillow-heif"


def _silence_libtiff() -> None:
    """Disable the messages that libtiff prints for damaged files; Pillow raises an exception anyway."""
    with contextlib.suppress(OSError, AttributeError):  # not exported if libtiff is linked statically
        library = ctypes.CDLL(vars(Image)["core"].__file__)
        for kind in ("Error", "Warning"):
            set_handler = getattr(library, f"TIFFSet{kind}Handler")
            set_handler.restype = ctypes.c_void_p
            set_handler(None)


_silence_libtiff()
Image.init()
# Only these: other formats of Pillow run external programs (EPS) or are not photos.
FORMATS = tuple(name for name in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF") if name in Image.OPEN)

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")


@dataclass(frozen=True)
class ImageFailure:
    """Why a photo cannot be decoded. reason: one of `REASONS`; detail: a phrase for the user."""

    reason: str
    detail: str

    def __post_init__(self) -> None:
        if self.reason not in REASONS:
            raise ValueError(f"unknown reason {self.reason!r}")


def too_large() -> ImageFailure:
    """Return the failure for a file of more than `MAX_BYTES`."""
    return ImageFailure("too_large", f"more than {MAX_BYTES >> 20} MiB")


def decode_rgb(
    data: bytes, *, max_pixels: int = MAX_PIXELS, least_side: int | None = None
) -> Image.Image | ImageFailure:
    """Decode a photo to 8-bit RGB, rotated by its EXIF orientation, without metadata.

    `info["notes"]` says what was decided, by kind: {} for a usual photo. Of an animation or several pages, only the
    first image is decoded. Transparent pixels become white. Grey values of 16 or 32 bits or floating point are scaled
    to 8 bits by the range that the file uses, not clipped. Of a raw photo, the largest preview is decoded, if its
    shorter side is at least `least_side`. Colour profiles and invalid EXIF data are ignored. A truncated file is
    a failure, not an image with grey rows. Thread-safe: no setting of Pillow is changed.

    least_side: the shorter side after the later resize. A much larger JPEG is decoded at 1/2, 1/4 or 1/8 of its size,
    if that is an integer size of at least twice `least_side`. After the resize, the mean difference to full decoding is
    less than two of 255 grey levels, also for very sharp photos.
    """
    if not data:
        return ImageFailure("empty_file", "has no bytes")
    if len(data) > MAX_BYTES:
        return too_large()
    try:
        kind = raw_kind(data)
        if kind:
            return _raw_preview(data, kind, max_pixels, least_side)
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            failure = _size_failure(*image.size, max_pixels)
            if failure:
                return failure
            if least_side is not None:
                _shrink_jpeg(image, least_side)
            is_wide = is_wide_colour(image)
            image.load()
            upright = _UPRIGHT.get(orientation(image))
            several = _is_first_of_several(image, data)
            loaded: Image.Image = image
            note = ""
            if is_wide and not several:
                with Image.open(io.BytesIO(data), formats=FORMATS) as again:
                    loaded, note = scale_wide_colour(image, again)
            picture, grey_note = _to_rgb(loaded)
            note = note or grey_note
        picture = picture.transpose(upright) if upright is not None else picture
        notes = {"pages": "holds several pictures, of which only the first is read"} if several else {}
        picture.info = {"notes": notes | ({"range": note} if note else {})}
        return picture
    except Exception as error:  # decoders raise many types for damaged files
        return _explain(error, data)


def _raw_preview(data: bytes, kind: str, max_pixels: int, least_side: int | None) -> Image.Image | ImageFailure:
    found = largest_preview(data)
    if found is None or not is_large_enough(found[1], least_side):
        small = "none" if found is None else f"one of {found[1][0]} x {found[1][1]} pixels"
        detail = f"a {kind} raw photo; of its previews revcd needs a larger one than {small}; export it as JPEG"
        if found is None:
            detail = f"a {kind} raw photo without a preview; export it as JPEG"
        return ImageFailure("unsupported_format", detail)
    preview = data[found[0] :]
    picture = decode_rgb(preview, max_pixels=max_pixels, least_side=least_side)
    if isinstance(picture, ImageFailure):
        return picture
    with Image.open(io.BytesIO(preview), formats=("JPEG",)) as image:
        has_own = image.getexif().get(ExifTags.Base.Orientation) is not None
    upright = None if has_own else _UPRIGHT.get(preview_orientation(data))
    picture = picture.transpose(upright) if upright is not None else picture
    size = f"{found[1][0]} x {found[1][1]}"
    picture.info = {"notes": {"raw": f"a {kind} raw photo, of which the preview of {size} pixels is used"}}
    return picture


def _shrink_jpeg(image: Image.Image, least_side: int) -> None:
    if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"):
        spare = min(image.size) // (2 * least_side)
        # Other sides would be rounded up, which stretches the image.
        factors = [f for f in (8, 4, 2) if f <= spare and image.width % f == image.height % f == 0]
        if factors:
            image.draft(None, (image.width // factors[0], image.height // factors[0]))


def _size_failure(width: int, height: int, max_pixels: int) -> ImageFailure | None:
    if width * height > max_pixels:
        return ImageFailure("too_large", f"{width} x {height} pixels; at most {max_pixels:,} are read")
    if max(width, height) > MAX_ASPECT * min(width, height):
        return ImageFailure("extreme_aspect", f"{width} x {height} pixels; at most {MAX_ASPECT}:1 is read")
    return None


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1..8; 1 (upright) if there is none."""
    with contextlib.suppress(LookupError, ArithmeticError, ValueError, TypeError, SyntaxError, OSError, struct.error):
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def _is_first_of_several(image: Image.Image, data: bytes) -> bool:
    """Return whether the file has more images. Those of a camera's MPO are previews of the same photo."""
    with contextlib.suppress(Exception):  # later images may be damaged
        if image.format == "GIF":  # Pillow moves to the second image to find out
            with Image.open(io.BytesIO(data), formats=("GIF",)) as other:
                return bool(getattr(other, "is_animated", False))
        return image.format != "MPO" and getattr(image, "is_animated", False)
    return False


def _to_rgb(image: Image.Image) -> tuple[Image.Image, str]:
    """Return the image as RGB, and a note if its grey values were scaled."""
    note = ""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image, note = to_8_bits(image)
    if image.mode == "La":
        image = image.convert("LA")  # Pillow cannot convert La to RGBA
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB"), note


def _explain(error: Exception, data: bytes) -> ImageFailure:
    message = brief(error)
    if isinstance(error, UnidentifiedImageError):
        return _explain_unidentified(data)
    if isinstance(error, MemoryError):
        return ImageFailure("out_of_memory", "not enough memory to decode it")
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return ImageFailure("too_large", message)
    if "too large" in message:  # a PNG with compressed text of unlimited size
        return ImageFailure("too_large", message)
    if isinstance(error, EOFError) or "truncated" in message.lower() or declares_more(data):
        return ImageFailure("truncated", "the file ends before the image does")
    if isinstance(error, KeyError) or "nsupported" in message or has_unusual_compression(data):
        variant = unreadable_variant(data) or f"a variant that Pillow does not decode ({message}); export it as PNG"
        return ImageFailure("unsupported_format", variant)
    if isinstance(error, OSError | SyntaxError | ValueError):
        return ImageFailure("corrupt", message or "cannot be decoded")
    return ImageFailure("decode_error", f"{type(error).__name__}: {message}")


def _explain_unidentified(data: bytes) -> ImageFailure:
    other = other_format(data, SUPPORTED_TYPES)
    if other:
        return ImageFailure("unsupported_format", other)
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS and "HEIF" not in FORMATS:
        return ImageFailure("unsupported_format", "a HEIC photo; to read it: pip install 'revcd[heif]' (pillow-heif)")
    begins_like = next((name for name in FORMATS if accepts(Image.OPEN[name], data)), None)
    if data[4:8] == b"ftyp" and data[8:12] in _AVIF_BRANDS and not begins_like:
        return ImageFailure("unsupported_format", "an AVIF photo; to read it: pip install --upgrade pillow")
    if declares_more(data):
        return ImageFailure("truncated", "the file ends before the image does")
    variant = unreadable_variant(data)
    if variant:
        return ImageFailure("unsupported_format", variant)
    if begins_like:
        return ImageFailure("corrupt", f"begins like {begins_like}, but its header is incomplete or damaged")
    if len(data) < 4:
        return ImageFailure("corrupt", f"has only {len(data)} bytes")
    kind = "a text file" if is_text(data) else "not a picture of a known format"
    return ImageFailure("unsupported_format", f"{kind}; readable are {SUPPORTED_TYPES}")
