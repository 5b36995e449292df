"""ICC profiles: what we need to know of one, and the way from it to sRGB.

A profile is kept as bytes and never rewritten. Three questions are asked of it: which colours it is for, whether its
values are proportional to light, and, only where the output cannot carry it, what its colours are in sRGB.

Source: ICC.1:2022 (profile version 4.4), sections 7.2, 7.3, 10.6 and 10.18.
"""

import math
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upscale_cli.frames.image import Pixels

_SPACES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK", b"Lab ": "LAB"}
_RELATIVE, _BLACK_POINT = 1, 0x2000
LINEAR_GAMMA = 1.3
"""Below this exponent a tone curve counts as linear: linear profiles have 1.0, display-like ones 1.8 to 2.6."""


def space(profile: bytes) -> str | None:
    """The layout that a profile is for: "L", "RGB", "CMYK" or "LAB"; None where it is damaged or for something else."""
    return _SPACES.get(profile[16:20]) if len(profile) > 132 and profile[36:40] == b"acsp" else None


def is_linear(profile: bytes | None) -> bool:
    """Whether an RGB or gray profile declares that values are proportional to light."""
    gamma = _gamma(profile) if profile else None
    return gamma is not None and gamma < LINEAR_GAMMA


def is_srgb(profile: bytes) -> bool:
    """Whether a profile calls itself sRGB, so that an untagged picture shows the same."""
    text = _tags(profile).get(b"desc", b"")
    return b"sRGB" in text or "sRGB".encode("utf-16-be") in text


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """The profile's tags; those that lie outside of it are left out."""
    if len(profile) < 132:
        return {}
    (count,) = struct.unpack_from(">I", profile, 128)
    found = {}
    for index in range(min(count, 200, (len(profile) - 132) // 12)):
        name, start, length = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        if start + length <= len(profile):
            found[name] = profile[start : start + length]
    return found


def _gamma(profile: bytes) -> float | None:
    """The exponent that the tone curve has at middle gray; None for a profile without such a curve."""
    tags = _tags(profile)
    curve = tags.get(b"gTRC") or tags.get(b"kTRC")
    light = _light_at_half(curve) if curve else None
    return math.log(light) / math.log(0.5) if light and 0 < light < 1 else None


def _light_at_half(curve: bytes) -> float | None:
    """Light (0..1) that a `curv` or `para` tone curve gives to the value 0.5."""
    if curve[:4] == b"curv" and len(curve) >= 12:
        (count,) = struct.unpack_from(">I", curve, 8)
        if count == 0:
            return 0.5
        if len(curve) < 12 + 2 * count:
            return None
        if count == 1:
            return float(0.5 ** (struct.unpack_from(">H", curve, 12)[0] / 256))
        low, high = struct.unpack_from(">H", curve, 12 + 2 * ((count - 1) // 2))[0], 0
        high = struct.unpack_from(">H", curve, 12 + 2 * (count // 2))[0]
        return float((low + high) / 2 / 65_535)
    if curve[:4] == b"para" and len(curve) >= 16:
        kind = struct.unpack_from(">H", curve, 8)[0]
        numbers = [n / 65_536 for n in struct.unpack_from(f">{(len(curve) - 12) // 4}i", curve, 12)]
        return _parametric(kind, numbers)
    return None


def _parametric(kind: int, p: list[float]) -> float | None:
    """A parametric curve (ICC.1 table 68) at 0.5; g, a, b, c, d, e, f in the standard's order."""
    x = 0.5
    needed = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}.get(kind)
    if needed is None or len(p) < needed:
        return None
    if kind == 0:
        return float(x ** p[0])
    g, a, b = p[:3]
    inner = max(a * x + b, 0.0)
    if kind in (1, 2):
        offset = p[3] if kind == 2 else 0.0
        return float((inner**g if inner else 0.0) + offset)
    c, d = p[3], p[4]
    e, f = (p[5], p[6]) if kind == 4 else (0.0, 0.0)
    return float(inner**g + e if x >= d else c * x + f)


def to_srgb(pixels: "Pixels", layout: str, profile: bytes | None) -> "Pixels":
    """Colours of `layout` ("L", "RGB", "CMYK" or "LAB", no alpha) as sRGB values of the same dtype (uint8 or uint16).

    Relative colorimetric with black point compensation, as an image editor converts. Without a profile CMYK is
    taken as plain ink (R = (1 - C)(1 - K)), and LAB is what it is.

    Raises:
        ValueError, RuntimeError: a profile that the colour engine does not understand.
    """
    import imagecodecs
    import numpy as np

    if layout == "CMYK" and profile is None:
        top = np.iinfo(pixels.dtype).max
        ink = top - pixels.astype(np.uint32)
        return ((ink[..., :3] * ink[..., 3:] + top // 2) // top).astype(pixels.dtype)
    dtype = pixels.dtype
    if layout == "LAB":
        pixels = _lab_for_the_engine(pixels)
    result: Pixels = imagecodecs.cms_transform(
        np.ascontiguousarray(pixels[..., 0] if layout == "L" else pixels),
        profile or imagecodecs.cms_profile("lab4" if layout == "LAB" else "srgb"),
        imagecodecs.cms_profile("srgb"),
        colorspace={"L": "gray", "RGB": "rgb", "CMYK": "cmyk", "LAB": "lab"}[layout],
        outcolorspace="rgb",
        intent=_RELATIVE,
        flags=_BLACK_POINT,
    )
    return result if result.dtype == dtype else ((result.astype(np.uint32) + 128) // 257).astype(dtype)


def _lab_for_the_engine(pixels: "Pixels") -> "Pixels":
    """LAB of a frame in a version 4 profile's 16 bits, where 0 of a and b is 32,896 (32,768 in a 16-bit frame)."""
    import numpy as np

    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint16) * 257
    wide = pixels.astype(np.uint32)
    wide[..., 1:] = np.minimum(wide[..., 1:] * 257 // 256, 65_535)
    return wide.astype(np.uint16)
