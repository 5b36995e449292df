"""The encoders we drive: one frozen row each. Facts only; `encoder_choice.py` chooses among them. Pure.

Sources: `ffmpeg -h encoder=NAME`, the manuals of x264, x265, SVT-AV1 and libvpx, and trials with ffmpeg 7.0 and 9.0
(`tests/test_video_encoder.py` repeats those that need no hardware).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from upscale_cli.frames.colour_tags import Range
from upscale_cli.frames.pixel_format import FORMATS, PixelFormat

Kind = Literal["h264", "hevc", "av1", "vp9", "prores", "ffv1"]
Hardware = Literal["nvenc", "qsv", "vaapi", "videotoolbox", "amf"]
Params = Literal["x264", "x265", "svtav1"]

Arguments = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quality:
    """Constant quality on an encoder's own scale, which is what --crf sets.

    Attributes:
        options: all get the value.
        best, worst: the ends of the scale; the best is the greater number for VideoToolbox.
        default: visually near the source.
        fixed: what makes the encoder heed it.
        whole: takes whole numbers only.
    """

    options: Arguments
    best: float
    worst: float
    default: float
    fixed: Arguments = ()
    whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """An encoder of ffmpeg.

    Attributes:
        formats: pixel formats that we give it, best first among equals; a build may know fewer.
        quality: None where it has no such scale.
        presets: by the name that --preset takes; none where the encoder has no speeds to choose from.
        preset, fastest: names among them, for files and for --realtime.
        arguments: always given.
        realtime, live: added for --realtime; for live, where a frame must leave as soon as it came.
        closed_gop: what it needs so that each run begins with a frame that resets the decoder, and none refers over it.
        even: subsampled pictures need sides that are multiples of the subsampling.
        smallest, largest: sides, in pixels.
        ranges: code value ranges it can signal.
        params: the family of its `-*-params` option, which takes HDR10 metadata where ffmpeg has no option of its own.
        hardware: the interface, where it is no software.
        device: global arguments that open the device.
        upload: frames must be uploaded by a filter.
    """

    name: str
    kind: Kind
    formats: Arguments
    quality: Quality | None = None
    presets: Mapping[str, Arguments] = field(default_factory=dict)
    preset: str | None = None
    fastest: str | None = None
    arguments: Arguments = ()
    realtime: Arguments = ()
    live: Arguments = ()
    closed_gop: Arguments = ()
    even: bool = True
    smallest: int = 1
    largest: int = 16384
    ranges: tuple[Range, ...] = ("tv", "pc")
    params: Params | None = None
    hardware: Hardware | None = None
    device: Arguments = ()
    upload: bool = False


PIXEL_FORMATS: Final[Mapping[str, PixelFormat]] = FORMATS | {
    row.name: row
    for row in (
        PixelFormat("nv12", "yuv", 8, 1, 1),
        PixelFormat("p010le", "yuv", 10, 1, 1),
        PixelFormat("rgb24", "rgb"),
        PixelFormat("bgr0", "rgb"),
        PixelFormat("bgra", "rgb", alpha=True),
    )
}
"""Ours, and those that encoders take in their place; samples are repacked on the way, which changes no value."""

CONTAINERS: Final[Mapping[str, frozenset[Kind]]] = {
    "mp4": frozenset({"h264", "hevc", "av1", "vp9"}),
    "mov": frozenset({"h264", "hevc", "prores", "ffv1"}),
    "matroska": frozenset({"h264", "hevc", "av1", "vp9", "prores", "ffv1"}),
    "webm": frozenset({"vp9", "av1"}),
    "mpegts": frozenset({"h264", "hevc"}),
    "avi": frozenset({"h264", "ffv1"}),
    "flv": frozenset({"h264", "hevc", "av1", "vp9"}),
    "mpeg": frozenset({"h264", "hevc"}),
    "asf": frozenset({"h264"}),
    "ogg": frozenset(),
    "nut": frozenset({"h264", "hevc", "av1", "vp9", "prores", "ffv1"}),
    "mxf": frozenset({"h264", "prores"}),
    "3gp": frozenset({"h264"}),
}
"""What each container holds so that it reads back: frames, timestamps, tags."""

WITHOUT_REORDERING: Final = frozenset({"avi", "asf", "mxf", "flv", "nut"})
"""Containers with one timestamp per frame, where B-frames come back with another frame's; and those that begin decoding
at zero, where B-frames would shift everything."""

_X26X_PRESETS: Final = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)


def _named(option: str, names: Sequence[str]) -> dict[str, Arguments]:
    return {name: (option, name) for name in names}


def _speeds_of_vp9() -> dict[str, Arguments]:
    """-cpu-used by number: 0 is slowest; from 6 on the encoder needs its realtime mode."""
    return {
        str(speed): ("-deadline", "realtime" if speed > 5 else "good", "-cpu-used", str(speed)) for speed in range(9)
    }


def _yuv(*suffixes: str, chroma: Sequence[str] = ("420", "422", "444")) -> Arguments:
    return tuple(f"yuv{name}p{suffix}" for suffix in suffixes for name in chroma)


_X264: Final = Codec(
    name="libx264",
    kind="h264",
    formats=_yuv("", "10le"),  # grey is coded as 4:2:0 with empty chroma: its own kind of grey loses the matrix tag
    quality=Quality(("-crf",), 0, 51, 18, whole=False),
    presets=_named("-preset", _X26X_PRESETS),
    preset="medium",
    fastest="ultrafast",
    live=("-tune", "zerolatency"),
    params="x264",
)


def _nvenc(kind: Literal["h264", "hevc", "av1"], formats: Arguments, worst: float, default: float) -> Codec:
    return Codec(
        name=f"{kind}_nvenc",
        kind=kind,
        formats=formats,
        quality=Quality(("-cq",), 1, worst, default, ("-rc", "vbr", "-b:v", "0"), whole=False),
        presets=_named("-preset", [f"p{number}" for number in range(1, 8)]),
        preset="p5",
        fastest="p1",
        live=("-tune", "ll", "-zerolatency", "1", "-bf", "0"),
        closed_gop=("-forced-idr", "1"),
        hardware="nvenc",
    )


def _qsv(kind: Literal["h264", "hevc", "av1"], formats: Arguments) -> Codec:
    return Codec(
        name=f"{kind}_qsv",
        kind=kind,
        formats=formats,
        quality=Quality(("-global_quality",), 1, 51, 20),
        presets=_named("-preset", ("veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")),
        preset="medium",
        fastest="veryfast",
        live=("-async_depth", "1", "-bf", "0"),
        hardware="qsv",
    )


def _vaapi(kind: Literal["h264", "hevc", "av1"], formats: Arguments, worst: float, default: float) -> Codec:
    return Codec(
        name=f"{kind}_vaapi",
        kind=kind,
        formats=formats,
        quality=Quality(("-global_quality",), 1, worst, default, ("-rc_mode", "CQP")),
        live=("-async_depth", "1", "-bf", "0"),
        hardware="vaapi",
        device=("-init_hw_device", "vaapi=gpu", "-filter_hw_device", "gpu"),
        upload=True,
    )


def _videotoolbox(kind: Literal["h264", "hevc"], formats: Arguments) -> Codec:
    return Codec(
        name=f"{kind}_videotoolbox",
        kind=kind,
        formats=formats,
        quality=Quality(("-q:v",), 100, 1, 65),
        realtime=("-realtime", "1"),
        live=("-bf", "0"),
        hardware="videotoolbox",
    )


def _amf(kind: Literal["h264", "hevc", "av1"], formats: Arguments, worst: float, default: float) -> Codec:
    return Codec(
        name=f"{kind}_amf",
        kind=kind,
        formats=formats,
        quality=Quality(("-qp_i", "-qp_p"), 0, worst, default, ("-rc", "cqp")),
        presets=_named("-quality", ("speed", "balanced", "quality")),
        preset="quality",
        fastest="speed",
        live=("-usage", "ultralowlatency"),
        hardware="amf",
    )


_ROWS: Final = (
    _X264,
    Codec(
        name="libx264rgb",
        kind="h264",
        formats=("rgb24", "bgr0"),
        quality=_X264.quality,
        presets=_X264.presets,
        preset="medium",
        fastest="ultrafast",
        live=_X264.live,
        params="x264",
    ),
    Codec(
        name="libx265",
        kind="hevc",
        formats=("gray", "gray10le", "gray12le", "gbrp", "gbrp10le", "gbrp12le", *_yuv("", "10le", "12le")),
        quality=Quality(("-crf",), 0, 51, 20, whole=False),
        presets=_named("-preset", _X26X_PRESETS),
        preset="medium",
        fastest="ultrafast",
        arguments=("-x265-params", "log-level=error"),
        live=("-tune", "zerolatency"),
        closed_gop=("-x265-params", "open-gop=0"),
        smallest=64,  # below, it refuses, or writes where it must not: many widths from 33 to 46 end in a crash
        params="x265",
    ),
    Codec(
        name="libsvtav1",
        kind="av1",
        formats=("yuv420p", "yuv420p10le"),
        quality=Quality(("-crf",), 1, 63, 22),
        presets=_named("-preset", [str(number) for number in range(14)]),
        preset="6",
        fastest="12",
        live=("-svtav1-params", "pred-struct=1:lookahead=0"),
        even=False,
        params="svtav1",
    ),
    Codec(
        name="libvpx-vp9",
        kind="vp9",
        formats=(
            *_yuv("", chroma=("420", "422", "444", "440")),
            *_yuv("10le", "12le"),
            *("gbrp", "gbrp10le", "gbrp12le", "yuva420p"),
        ),
        quality=Quality(("-crf",), 0, 63, 24, ("-b:v", "0")),
        presets=_speeds_of_vp9(),
        preset="2",
        fastest="8",
        arguments=("-row-mt", "1", "-tile-columns", "2"),
        live=("-lag-in-frames", "0"),
        even=False,
    ),
    Codec(
        name="prores_ks",
        kind="prores",
        formats=("yuv422p10le", "yuv444p10le", "yuva444p10le"),
        even=False,
        largest=65535,
        ranges=("tv",),
    ),
    Codec(
        name="ffv1",
        kind="ffv1",
        formats=(
            *("gray", "gray10le", "gray12le", "gray16le"),
            *_yuv("", "10le", "12le", "16le"),
            *("yuv440p", "yuva420p", "yuva422p", "yuva444p", "yuva420p10le", "yuva422p10le", "yuva444p10le"),
            *("yuva422p12le", "yuva444p12le", "yuva420p16le", "yuva422p16le", "yuva444p16le", "bgr0", "bgra"),
            *("gbrp10le", "gbrp12le", "gbrp16le", "gbrap10le", "gbrap12le", "gbrap16le"),
        ),
        arguments=("-level", "3", "-g", "1", "-slicecrc", "1"),
        even=False,
        largest=65535,
    ),
    _nvenc("h264", ("yuv420p", "yuv444p"), 51, 19),
    _nvenc("hevc", ("yuv420p", "yuv444p", "p010le", "yuv444p16le"), 51, 21),
    _nvenc("av1", ("yuv420p", "p010le"), 63, 26),
    _qsv("h264", ("nv12",)),
    _qsv("hevc", ("nv12", "p010le")),
    _qsv("av1", ("nv12", "p010le")),
    _vaapi("h264", ("nv12",), 51, 19),
    _vaapi("hevc", ("nv12", "p010le"), 51, 21),
    _vaapi("av1", ("nv12", "p010le"), 255, 80),
    _videotoolbox("h264", ("nv12", "yuv420p")),
    _videotoolbox("hevc", ("nv12", "yuv420p", "p010le")),
    _amf("h264", ("nv12",), 51, 19),
    _amf("hevc", ("nv12", "p010le"), 51, 21),
    _amf("av1", ("nv12", "p010le"), 255, 80),
)

CODECS: Final[Mapping[str, Codec]] = {row.name: row for row in _ROWS}
"""By ffmpeg's name; software first."""

HARDWARE_BY_PLATFORM: Final[Mapping[str, tuple[Hardware, ...]]] = {
    "darwin": ("videotoolbox",),
    "win32": ("nvenc", "qsv", "amf"),
    "linux": ("nvenc", "qsv", "vaapi"),
}
"""What to try first where speed counts, by `sys.platform`."""
