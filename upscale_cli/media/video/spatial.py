"""Pictures that are no flat window: spheres (360 and 180 degrees) and pairs for two eyes. Values and words; pure.

libavutil's AVSphericalMapping and AVStereo3D (spherical.h, stereo3d.h) are what decoders hand on: from boxes of MP4
(st3d, sv3d, the older XML in a uuid box), elements of Matroska, and the frame packing of H.264 and HEVC.
"""

import struct
from dataclasses import dataclass, replace
from typing import Final, Literal

Projection = Literal["equirectangular", "cubemap"]
Packing = Literal["mono", "side by side", "top and bottom", "checkerboard", "lines", "columns", "other"]

_PROJECTIONS: Final[dict[int, Projection]] = {
    0: "equirectangular", 1: "cubemap", 2: "equirectangular", 3: "equirectangular",
}  # fmt: skip
_HALF: Final = 3
_QUARTER: Final = 2**30
_PACKINGS: Final[dict[int, Packing]] = {
    0: "mono", 1: "side by side", 2: "top and bottom", 4: "checkerboard", 6: "lines", 7: "columns",
}  # fmt: skip
_INVERTED: Final = 1


@dataclass(frozen=True, slots=True)
class Sphere:
    """How a picture covers a sphere.

    Attributes:
        yaw, pitch, roll: of its middle, in degrees times 65536.
        left, top, right, bottom: how far the picture begins from the borders of the whole sphere's, times 2**32.
        padding: around each face of a cube, in pixels.
    """

    projection: Projection
    yaw: int = 0
    pitch: int = 0
    roll: int = 0
    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0
    padding: int = 0


@dataclass(frozen=True, slots=True)
class Spatial:
    """What a stream says of its pictures.

    Attributes:
        sphere: None where they are flat, or of a projection that no container here can name.
        packing: of the views of two eyes; None where nothing is said.
        is_inverted: the right eye's view comes first.
        unknown: of what it says, what cannot be written, in words; "" for nothing.
    """

    sphere: Sphere | None = None
    packing: Packing | None = None
    is_inverted: bool = False
    unknown: str = ""


def spatial_of(spherical: bytes | None, stereo: bytes | None) -> Spatial | None:
    """From the side data of a frame; None for flat pictures.

    Args:
        spherical: AVSphericalMapping: projection, three angles, four bounds, padding, 32 bits each.
        stereo: AVStereo3D, which begins with type and flags, 32 bits each.
    """
    sphere, packing, inverted, unknown = None, None, False, ""
    if spherical is not None:
        number, *numbers = struct.unpack("=4i5I", spherical[:36])
        if number in _PROJECTIONS:
            sphere = Sphere(_PROJECTIONS[number], *numbers)
            if number == _HALF:  # 180 degrees: the middle half of the whole
                sphere = replace(sphere, left=_QUARTER, right=_QUARTER)
        else:
            unknown = "its projection"
    if stereo is not None:
        kind, flags = struct.unpack("=2i", stereo[:8])
        packing, inverted = _PACKINGS.get(kind, "other"), bool(flags & _INVERTED)
    if sphere is None and not unknown and packing in (None, "mono"):
        return None
    return Spatial(sphere, packing, inverted, unknown)


def enlarged(spatial: Spatial | None, factor: float) -> Spatial | None:
    """The same of a picture that many times as wide."""
    if spatial is None or spatial.sphere is None:
        return spatial
    return replace(spatial, sphere=replace(spatial.sphere, padding=round(spatial.sphere.padding * factor)))


# What each container can say

MATROSKA_STEREO: Final[dict[tuple[Packing, bool], str]] = {
    ("mono", False): "mono",
    ("side by side", False): "left_right", ("side by side", True): "right_left",
    ("top and bottom", False): "top_bottom", ("top and bottom", True): "bottom_top",
    ("checkerboard", False): "checkerboard_lr", ("checkerboard", True): "checkerboard_rl",
    ("lines", False): "row_interleaved_lr", ("lines", True): "row_interleaved_rl",
    ("columns", False): "col_interleaved_lr", ("columns", True): "col_interleaved_rl",
}  # fmt: skip
"""ffmpeg's names of Matroska's StereoMode (RFC 9559, 5.1.4.1.28.3), by packing and whether the right eye is first."""

MP4_STEREO: Final[dict[tuple[Packing, bool], int]] = {
    ("mono", False): 0, ("top and bottom", False): 1, ("side by side", False): 2,
}  # fmt: skip
"""stereo_mode of the box st3d (Spherical Video V2 RFC). Its 4, the right eye first, is a later addition that ffmpeg 9
does not read."""
