"""Small clips of every kind, made here so that no test needs a download.

Each recipe writes one file, named by its function, and is run once per test run, when a test first asks for it.
"""

import itertools
import math
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import pytest
from filelock import FileLock
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray

Recipe = Callable[["Clips", Path], None]
RECIPES: Final[dict[str, tuple[str, Recipe]]] = {}

X264 = ("-c:v", "libx264", "-preset", "ultrafast")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none")
FFV1 = ("-c:v", "ffv1")
AAC = ("-c:a", "aac", "-b:a", "64k")
PARTS = b"font for the tests, of no use to anybody " * 20


def recipe(suffix: str) -> Callable[[Recipe], Recipe]:
    """Registers a function as the recipe of `{its name}{suffix}`."""

    def register(make: Recipe) -> Recipe:
        RECIPES[make.__name__] = (suffix, make)
        return make

    return register


def ffmpeg(*arguments: object) -> None:
    """Runs ffmpeg; what it does not like ends the test with its own words."""
    command = [get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr.decode(errors='replace')}"


def skip_where_ffmpeg_crashes(path: Path) -> None:
    """Some static builds of ffmpeg 7.0 die of a segmentation fault on every transport stream, their own among them."""
    command = [get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-c", "copy", "-f", "null", "-"]
    code = subprocess.run(command, capture_output=True, check=False).returncode
    if code not in (0, 1):
        pytest.skip(f"this ffmpeg crashes on {path.suffix} files (exit code {code})")


def has_encoder(name: str) -> bool:
    """Whether this ffmpeg was built with an encoder."""
    done = subprocess.run([get_ffmpeg_exe(), "-hide_banner", "-encoders"], capture_output=True, check=True)
    return f" {name} " in done.stdout.decode()


class Clips:
    """The clips by name, made when first asked for: `clips("plain")` -> path of plain.mp4.

    Args:
        folder: of this process.
        shared: where the clips lie, of all processes of a test run.
    """

    def __init__(self, folder: Path, shared: Path | None = None) -> None:
        self.folder, self._shared = folder, shared or folder
        for each in (self.folder, self._shared):
            each.mkdir(parents=True, exist_ok=True)

    def __call__(self, name: str) -> Path:
        suffix, make = RECIPES[name]
        path = self._shared / f"{name}{suffix}"
        if not path.exists():
            with FileLock(self._shared / f"{name}.lock"):
                if not path.exists():
                    self._make(make, path)
        return path

    def _make(self, make: Recipe, path: Path) -> None:
        partial = path.with_name(f"{path.stem}.partial{path.suffix}")
        make(self, partial)
        if path.suffix == ".ts":
            skip_where_ffmpeg_crashes(partial)
        partial.replace(path)

    def text(self, name: str, content: str | bytes) -> Path:
        """A file of that content, of this process alone."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


def moving(
    width: int = 96, height: int = 64, frames: int = 12, rate: str = "25", pixel_format: str = "yuv420p"
) -> tuple[str, ...]:
    """Input arguments: coloured shapes that move; each frame, each corner and each plane unlike the others."""
    source = f"testsrc2=size={width}x{height}:rate={rate},format={pixel_format}"
    return ("-f", "lavfi", "-t", str(math.ceil(frames / Fraction(rate)) + 2), "-i", source)


def tone(frequency: int = 440, rate: int = 48_000, seconds: float = 0.5) -> tuple[str, ...]:
    """Input arguments: a tone."""
    return ("-f", "lavfi", "-i", f"sine=frequency={frequency}:sample_rate={rate}:duration={seconds}")


def video(path: Path, *encoder: object, width: int = 96, height: int = 64, frames: int = 12, rate: str = "25") -> None:
    """A clip of one video stream, in the pixel format that the encoder is asked for."""
    given = encoder[encoder.index("-pix_fmt") + 1] if "-pix_fmt" in encoder else "yuv420p"
    ffmpeg(*moving(width, height, frames, rate, str(given)), "-frames:v", frames, *encoder, path)


# Plain ones


@recipe(".mp4")
def plain(_: Clips, path: Path) -> None:
    """H.264 with B-frames, and AAC."""
    ffmpeg(*moving(), *tone(), "-frames:v", 12, "-c:v", "libx264", "-bf", 2, *AAC, path)


@recipe(".mp4")
def one_frame(_: Clips, path: Path) -> None:
    video(path, *X264, frames=1)


@recipe(".mkv")
def odd(_: Clips, path: Path) -> None:
    """33 x 17 in 4:2:0, lossless."""
    video(path, "-vf", "scale=33:17", *FFV1, "-pix_fmt", "yuv420p", width=132, height=68, frames=6)


@recipe(".mp4")
def static(_: Clips, path: Path) -> None:
    """Thirty times the same picture."""
    ffmpeg("-f", "lavfi", "-i", "smptebars=size=96x64:rate=25", "-frames:v", 30, *X264, "-qp", 0, path)


@recipe(".mp4")
def reordered(_: Clips, path: Path) -> None:
    """H.264 with three B-frames in a row, one of them a reference, and AAC."""
    encoder = ("-c:v", "libx264", "-preset", "fast", "-bf", 3, "-b_strategy", 0, "-x264-params", "b-pyramid=normal")
    ffmpeg(*moving(), *tone(seconds=1), "-frames:v", 24, *encoder, *AAC, path)


@recipe(".mp4")
def reordered_pq(_: Clips, path: Path) -> None:
    """HEVC of 10 bits in BT.2020 with PQ, with B-frames."""
    params = "bframes=3:b-adapt=0:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:log-level=none"
    encoder = ("-c:v", "libx265", "-preset", "fast", "-x265-params", params, "-pix_fmt", "yuv420p10le")
    video(path, *encoder, frames=24)


@recipe(".mkv")
def mpeg2(_: Clips, path: Path) -> None:
    """MPEG-2 with B-frames."""
    video(path, "-c:v", "mpeg2video", "-bf", 2, frames=24)


@recipe(".mp4")
def open_gop(_: Clips, path: Path) -> None:
    params = "open-gop=1:keyint=8:bframes=3:log-level=none"
    video(path, "-c:v", "libx265", "-preset", "fast", "-x265-params", params, "-tag:v", "hvc1", frames=30)


# Other streams


@recipe(".mkv")
def chapters(clips: Clips, path: Path) -> None:
    ffmpeg("-i", clips("plain"), "-i", _chapters(clips), "-map", 0, "-map_chapters", 1, "-c", "copy", path)


@recipe(".mp4")
def chapters_mp4(clips: Clips, path: Path) -> None:
    ffmpeg("-i", clips("plain"), "-i", _chapters(clips), "-map", 0, "-map_chapters", 1, "-c", "copy", path)


def _chapters(clips: Clips) -> Path:
    marks = [(0, 120, "First = one"), (120, 300, "Zweites Stück"), (300, 480, "third; # last")]
    text = ";FFMETADATA1\n"
    for start, end, title in marks:
        escaped = "".join(f"\\{char}" if char in "=;#\\" else char for char in title)
        text += f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={start}\nEND={end}\ntitle={escaped}\n"
    return clips.text("chapters.txt", text)


@recipe(".mkv")
def ass_and_font(clips: Clips, path: Path) -> None:
    """ASS subtitles and the font they need, as fansubs have them."""
    font = clips.text("font.ttf", PARTS)
    ass = clips.text("titles.ass", _ASS)
    ffmpeg(
        *("-i", clips("plain"), "-i", ass, "-map", 0, "-map", 1, "-c", "copy"),
        *("-attach", font, "-metadata:s:t:0", "mimetype=font/ttf"),
        *("-metadata:s:s:0", "language=jpn", "-disposition:s:0", "forced"),
        *("-metadata", "title=A clip with everything", "-metadata", "artist=Nobody", path),
    )


_ASS = """[Script Info]
ScriptType: v4.00+
PlayResX: 96
PlayResY: 64

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, Alignment
Style: Default,Sans,12,&H00FFFFFF,2

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.04,0:00:00.20,Default,,0,0,0,,{\\i1}Hello{\\i0}, world
Dialogue: 1,0:00:00.20,0:00:00.44,Default,,0,0,0,,Second, with a comma
"""


@recipe(".mkv")
def srt(clips: Clips, path: Path) -> None:
    ffmpeg("-i", clips("plain"), "-i", _srt(clips), "-map", 0, "-map", 1, "-c", "copy", "-c:s", "srt", path)


def _srt(clips: Clips) -> Path:
    text = "1\n00:00:00,040 --> 00:00:00,200\nHello\n\n2\n00:00:00,240 --> 00:00:00,400\n<i>Grüße</i>\nline two\n\n"
    return clips.text("titles.srt", text)


@recipe(".mp4")
def mov_text(clips: Clips, path: Path) -> None:
    ffmpeg("-i", clips("plain"), "-i", _srt(clips), "-map", 0, "-map", 1, "-c", "copy", "-c:s", "mov_text", path)


@recipe(".mkv")
def languages(_: Clips, path: Path) -> None:
    """Two languages and a comment, the second one the default; Opus and FLAC among them."""
    ffmpeg(
        *moving(),
        *(argument for frequency in (440, 660, 880) for argument in tone(frequency)),
        *("-map", 0, "-map", 1, "-map", 2, "-map", 3, "-frames:v", 12, *X264),
        *("-c:a:0", "aac", "-c:a:1", "libopus", "-c:a:2", "flac", "-metadata:s:v:0", "title=Hauptfilm"),
        *("-metadata:s:a:0", "language=eng", "-metadata:s:a:0", "title=English 2.0"),
        *("-metadata:s:a:1", "language=deu", "-metadata:s:a:1", "title=Deutsch"),
        *("-metadata:s:a:2", "language=eng", "-metadata:s:a:2", "title=Commentary"),
        *("-disposition:a:0", "0", "-disposition:a:1", "default", "-disposition:a:2", "comment"),
        path,
    )


@recipe(".mp4")
def languages_mp4(clips: Clips, path: Path) -> None:
    ffmpeg(
        *("-i", clips("languages"), "-map", "0:v", "-map", "0:a:0", "-map", "0:a:1", "-c", "copy"),
        *("-disposition:a:0", "0", "-disposition:a:1", "default", path),
    )


@recipe(".mkv")
def opus(_: Clips, path: Path) -> None:
    """Opus begins before zero: its priming samples are to be thrown away."""
    ffmpeg(*moving(), *tone(), "-frames:v", 12, *X264, "-c:a", "libopus", path)


@recipe(".mp4")
def cover(clips: Clips, path: Path) -> None:
    """Cover art as a video stream, as mp4 has it."""
    ffmpeg(
        *("-i", clips("plain"), "-i", _cover(clips), "-map", 0, "-map", 1, "-c", "copy"),
        *("-disposition:v:1", "attached_pic", path),
    )


@recipe(".mkv")
def cover_mkv(clips: Clips, path: Path) -> None:
    """Cover art as an attachment, as Matroska has it; readers show it as a video stream."""
    picture = ("-attach", _cover(clips), "-metadata:s:t:0", "mimetype=image/jpeg")
    ffmpeg("-i", clips("plain"), "-map", 0, "-c", "copy", *picture, path)


def _cover(clips: Clips) -> Path:
    path = clips.folder / "cover.jpg"
    if not path.exists():
        ffmpeg("-f", "lavfi", "-i", "testsrc=size=32x32", "-frames:v", 1, "-update", 1, path)
    return path


@recipe(".mov")
def timecode(_: Clips, path: Path) -> None:
    """ProRes with a timecode track: a data stream."""
    video(path, "-c:v", "prores_ks", "-profile:v", "standard", "-timecode", "01:00:00:00", frames=6)


@recipe(".mkv")
def two_videos(_: Clips, path: Path) -> None:
    """Two video streams of different size, rate and start; the second one is the default."""
    ffmpeg(
        *(*moving(96, 64), "-itsoffset", 0.1, *moving(48, 80, rate="30"), *tone()),
        *("-map", 0, "-map", 1, "-map", 2, "-frames:v:0", 12, "-frames:v:1", 10, *X264, *AAC),
        *("-disposition:v:0", "0", "-disposition:v:1", "default", path),
    )


# Times


@recipe(".mkv")
def offset(clips: Clips, path: Path) -> None:
    """Video from 1.5 s, audio from 2.25 s."""
    _shifted(clips, path)


@recipe(".mp4")
def offset_mp4(clips: Clips, path: Path) -> None:
    """Video from 1.5 s, audio from 2.25 s, by edit lists."""
    _shifted(clips, path)


def _shifted(clips: Clips, path: Path) -> None:
    source = clips("plain")
    ffmpeg(
        *("-itsoffset", 1.5, "-i", source, "-itsoffset", 2.25, "-i", source, "-copyts"),
        *("-map", "0:v", "-map", "1:a", "-c", "copy", "-avoid_negative_ts", "disabled", path),
    )


@recipe(".mp4")
def ntsc_film(_: Clips, path: Path) -> None:
    """24000/1001 frames per second."""
    ffmpeg(*moving(rate="24000/1001"), *tone(), "-frames:v", 30, *X264, *AAC, path)


@recipe(".mkv")
def ntsc_film_mkv(_: Clips, path: Path) -> None:
    ffmpeg(*moving(rate="24000/1001"), *tone(), "-frames:v", 30, *X264, *AAC, path)


IRREGULAR: Final = tuple(
    Fraction(t, 90_000) for t in itertools.accumulate([0, 3000, 3003, 1, 9000, 45_000, 1501, 2999])
)


@recipe(".mp4")
def vfr(_: Clips, path: Path) -> None:
    """Irregular times on a 90 kHz clock; two frames one tick apart."""
    write_frames(path, "libx264", "yuv420p", ramps(96, 64, "yuv420p", len(IRREGULAR)), IRREGULAR)


@recipe(".mkv")
def vfr_mkv(_: Clips, path: Path) -> None:
    """Irregular times, in milliseconds."""
    times = [Fraction(ms, 1000) for ms in (0, 7, 40, 41, 200, 1200, 1233, 1250)]
    write_frames(path, "libx264", "yuv420p", ramps(96, 64, "yuv420p", len(times)), times)


@recipe(".ts")
def transport(clips: Clips, path: Path) -> None:
    """A broadcast: the clock starts far from zero."""
    ffmpeg("-i", clips("plain"), "-c", "copy", "-output_ts_offset", 12_345, path)


@recipe(".mp4")
def cut(_: Clips, path: Path) -> None:
    """Cut without encoding between key frames: an edit list hides the first packets."""
    whole = path.with_name("to_cut.mp4")
    ffmpeg(*moving(frames=40), *tone(seconds=1.6), "-frames:v", 40, *X264, "-g", 20, "-bf", 2, *AAC, whole)
    ffmpeg("-ss", 0.5, "-i", whole, "-c", "copy", path)
    whole.unlink()


@recipe(".h264")
def raw_h264(_: Clips, path: Path) -> None:
    video(path, *X264)


@recipe(".h265")
def raw_h265(_: Clips, path: Path) -> None:
    video(path, *X265)


# How the picture is shown


def _turned(name: str, *how: object) -> None:
    def make(clips: Clips, path: Path) -> None:
        ffmpeg(*how, "-i", clips("plain"), "-c", "copy", path)

    RECIPES[name] = (".mp4", make)


for _degrees in (90, 180, 270):
    _turned(f"rotated_{_degrees}", "-display_rotation", _degrees)
_turned("mirrored", "-display_hflip")
_turned("mirrored_and_rotated", "-display_rotation", 90, "-display_vflip")


@recipe(".mkv")
def rotated_mkv(clips: Clips, path: Path) -> None:
    ffmpeg("-display_rotation", 90, "-i", clips("plain"), "-c", "copy", path)


@recipe(".mp4")
def anamorphic(_: Clips, path: Path) -> None:
    """Pixels wider than high: 64:45, as on PAL discs in 16:9."""
    video(path, *X264, "-vf", "setsar=64/45")


@recipe(".dv")
def dv(_: Clips, path: Path) -> None:
    """DV has one size for each rate."""
    video(path, "-pix_fmt", "yuv420p", "-c:v", "dvvideo", width=720, height=576, frames=3)


@recipe(".mpg")
def interlaced_mpeg2(_: Clips, path: Path) -> None:
    """Top field first."""
    _interlaced(path, "tff", "-c:v", "mpeg2video", "-b:v", "1M", "-flags", "+ildct+ilme")


@recipe(".ts")
def interlaced_tff(_: Clips, path: Path) -> None:
    _interlaced(path, "tff", *X264, "-flags", "+ildct+ilme", "-x264-params", "tff=1")


@recipe(".mkv")
def interlaced_bff(_: Clips, path: Path) -> None:
    _interlaced(path, "bff", *X264, "-flags", "+ildct+ilme", "-x264-params", "bff=1")


def _interlaced(path: Path, order: str, *encoder: object) -> None:
    weave = f"interlace=scan={order}:lowpass=off"
    ffmpeg(*moving(96, 64, 24, "50"), "-vf", weave, "-frames:v", 12, "-pix_fmt", "yuv420p", *encoder, path)


# Pixels


@recipe(".mp4")
def ten_bit(_: Clips, path: Path) -> None:
    video(path, *X265, "-pix_fmt", "yuv420p10le", "-tag:v", "hvc1")


@recipe(".mkv")
def twelve_bit(_: Clips, path: Path) -> None:
    video(path, *X265, "-pix_fmt", "yuv422p12le")


@recipe(".mp4")
def yuv422(_: Clips, path: Path) -> None:
    video(path, *X264, "-pix_fmt", "yuv422p")


@recipe(".mp4")
def yuv444(_: Clips, path: Path) -> None:
    video(path, *X264, "-pix_fmt", "yuv444p")


@recipe(".mkv")
def gray(_: Clips, path: Path) -> None:
    video(path, *X264, "-pix_fmt", "gray")


@recipe(".mkv")
def gray_ffv1(_: Clips, path: Path) -> None:
    video(path, *FFV1, "-pix_fmt", "gray")


@recipe(".mp4")
def full_range(_: Clips, path: Path) -> None:
    tags = _tagged("bt709", "bt709", "bt709", "pc", before="scale=in_range=tv:out_range=pc,")
    video(path, *tags, *X264, "-pix_fmt", "yuv420p")


@recipe(".mp4")
def bt601(_: Clips, path: Path) -> None:
    """Tagged as NTSC."""
    video(path, *_tagged("smpte170m", "smpte170m", "smpte170m", "tv"), *X264, "-pix_fmt", "yuv420p")


@recipe(".mp4")
def untagged(_: Clips, path: Path) -> None:
    """Standard definition that does not say so."""
    video(path, *X264, "-pix_fmt", "yuv420p")


@recipe(".mkv")
def topleft(_: Clips, path: Path) -> None:
    """Chroma sited as in UHD."""
    video(path, *X265[:-1], "log-level=none:chromaloc=2", "-pix_fmt", "yuv420p10le")


@recipe(".mkv")
def rgb_ffv1(_: Clips, path: Path) -> None:
    video(path, *FFV1, "-pix_fmt", "gbrp")


@recipe(".mp4")
def rgb_x264(_: Clips, path: Path) -> None:
    video(path, "-c:v", "libx264rgb", "-preset", "ultrafast", "-pix_fmt", "rgb24")


@recipe(".webm")
def alpha_vp9(_: Clips, path: Path) -> None:
    _transparent(path, "yuva420p", "-c:v", "libvpx-vp9", "-cpu-used", 8, "-deadline", "realtime", "-auto-alt-ref", 0)


@recipe(".webm")
def alpha_vp8(_: Clips, path: Path) -> None:
    _transparent(path, "yuva420p", "-c:v", "libvpx", "-cpu-used", 8, "-deadline", "realtime", "-auto-alt-ref", 0)


@recipe(".mov")
def alpha_prores(_: Clips, path: Path) -> None:
    _transparent(path, "yuva444p10le", "-c:v", "prores_ks", "-profile:v", "4444")


@recipe(".mkv")
def alpha_ffv1(_: Clips, path: Path) -> None:
    _transparent(path, "yuva420p", *FFV1)


@recipe(".mkv")
def alpha_rgb(_: Clips, path: Path) -> None:
    _transparent(path, "gbrap", *FFV1)


def _transparent(path: Path, pixel_format: str, *encoder: object) -> None:
    hole = "format=gbrap,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*X/W*(1-Y/H)'"
    ffmpeg(*moving(48, 32, pixel_format="gbrp"), "-vf", hole, "-frames:v", 6, "-pix_fmt", pixel_format, *encoder, path)


@recipe(".mkv")
def hdr10(_: Clips, path: Path) -> None:
    _hdr(path, "smpte2084", f"{MASTERING}:max-cll=1000,400")


@recipe(".mp4")
def hdr10_mp4(_: Clips, path: Path) -> None:
    _hdr(path, "smpte2084", f"{MASTERING}:max-cll=1000,400", "-tag:v", "hvc1")


@recipe(".mkv")
def hlg(_: Clips, path: Path) -> None:
    _hdr(path, "arib-std-b67", "")


MASTERING = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"


def _hdr(path: Path, transfer: str, params: str, *more: object) -> None:
    x265_params = ":".join(filter(None, ("log-level=none", params)))
    tags = _tagged("bt2020nc", "bt2020", transfer, "tv")
    video(path, *tags, *X265[:-1], x265_params, "-pix_fmt", "yuv420p10le", *more)


def _tagged(matrix: str, primaries: str, transfer: str, range_: str, before: str = "") -> tuple[str, ...]:
    """Output arguments. The tags go onto the frames, which win over what the encoder gets."""
    tags = f"setparams=colorspace={matrix}:color_primaries={primaries}:color_trc={transfer}:range={range_}"
    return ("-vf", before + tags)


# Exact pixels

LOSSLESS: Final = (
    *(
        f"{name}{suffix}"
        for suffix in ("", "10le", "12le")
        for name in ("gray", "yuv420p", "yuv422p", "yuv444p", "gbrp", "yuva444p", "gbrap")
    ),
    *("yuv440p", "yuva420p", "yuva420p10le", "yuva422p"),
)


def ramp_clip(clips: Clips, pixel_format: str, frames: int = 3) -> Path:
    """ffv1 whose planes hold every code value, in ramps that differ from plane to plane and frame to frame."""
    path = clips.folder / f"ramp_{pixel_format}.mkv"
    if not path.exists():
        times = [Fraction(at, 25) for at in range(frames)]
        write_frames(path, "ffv1", pixel_format, ramps(96, 64, pixel_format, frames), times)
    return path


def ramps(width: int, height: int, pixel_format: str, frames: int) -> list[list[NDArray[Any]]]:
    """The planes of each frame: wedges over all code values, with bars across, (H, W) uint8 or uint16."""
    layout = av.VideoFormat(pixel_format, width, height)
    bits = max(component.bits for component in layout.components)
    made = []
    for at in range(frames):
        planes = []
        for plane in range(len(layout.components)):
            chroma = plane in (1, 2) and not layout.is_rgb and len(layout.components) > 2
            rows = layout.chroma_height(height) if chroma else height
            columns = layout.chroma_width(width) if chroma else width
            y, x = np.mgrid[:rows, :columns]
            ramp = (
                (y * columns + x) * (1 << bits) // (rows * columns) if plane % 2 else x * ((1 << bits) - 1) // columns
            )
            bars = (x // 8 + y // 8 + plane + at) % 3 == 0
            values = np.where(bars, (1 << bits) - 1 - ramp, ramp)
            planes.append(np.roll(values, at, axis=1).astype(np.uint8 if bits == 8 else np.dtype("<u2")))
        made.append(planes)
    return made


def write_frames(
    path: Path,
    codec: str,
    pixel_format: str,
    frames: list[list[NDArray[Any]]],
    times: list[Fraction] | tuple[Fraction, ...],
) -> None:
    """Frames of these planes at these times, on a 90 kHz clock where the container has one."""
    height, width = frames[0][0].shape
    base = Fraction(1, 90_000)
    stored = {"gbrp": "bgr0", "gbrap": "bgra"}.get(pixel_format, pixel_format)  # how ffv1 takes RGB of 8 bits
    with av.open(str(path), "w", options={"video_track_timescale": "90000"} if path.suffix == ".mp4" else {}) as out:
        stream: Any = out.add_stream(codec, rate=25, options={"preset": "ultrafast"} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = width, height, stored
        stream.codec_context.time_base = stream.time_base = base
        for planes, time in zip(frames, times, strict=True):
            frame = _frame(planes, pixel_format).reformat(format=stored)
            frame.pts, frame.time_base = round(time / base), base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def _frame(planes: list[NDArray[Any]], pixel_format: str) -> av.VideoFrame:
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, pixel_format)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size).copy()
        rows.view(values.dtype)[: values.shape[0], : values.shape[1]] = values
        plane.update(rows.tobytes())
    return frame


# Damaged ones, and what is no clip


@recipe(".mkv")
def resized(clips: Clips, path: Path) -> None:
    """The frame size changes in mid-stream, from 96 x 64 to 128 x 48 and back."""
    _joined(clips, path)


@recipe(".ts")
def resized_ts(clips: Clips, path: Path) -> None:
    _joined(clips, path)


def _joined(clips: Clips, path: Path) -> None:
    parts = []
    for at, (width, height) in enumerate([(96, 64), (128, 48), (96, 64)]):
        part = clips.folder / f"part_{path.stem}_{at}.h264"
        video(part, *X264, width=width, height=height, frames=6)
        parts.append(part.read_bytes())
    stream = clips.text(f"joined_{path.stem}.h264", b"".join(parts))
    ffmpeg("-framerate", 25, "-i", stream, "-c", "copy", "-fflags", "+genpts", path)


def truncated(clips: Clips, name: str, keep: float) -> Path:
    """The first part of a clip's bytes, 0 < keep < 1."""
    source = clips(name)
    data = source.read_bytes()
    return clips.text(f"truncated_{name}{source.suffix}", data[: round(len(data) * keep)])


def corrupted(clips: Clips, name: str, packets: range) -> Path:
    """A clip with noise over the payload of these video packets, counted in the order of the file."""
    source = clips(name)
    data = bytearray(source.read_bytes())
    rng = np.random.default_rng(3)
    with av.open(str(source)) as container:
        found = [packet for packet in container.demux(video=0) if packet.size]
    for packet in (found[at] for at in packets):
        assert packet.pos is not None
        start = packet.pos + min(8, packet.size // 2)  # past the length field or the start code
        start += data[start:].find(bytes(packet)[min(8, packet.size // 2) :][:8]) if source.suffix == ".mkv" else 0
        stop = packet.pos + packet.size
        data[start:stop] = rng.integers(0, 256, stop - start, dtype=np.uint8).tobytes()
    return clips.text(f"corrupted_{source.name}", bytes(data))


@recipe(".mp4")
def long_gop(_: Clips, path: Path) -> None:
    """Forty frames in four groups, with sound."""
    ffmpeg(*moving(frames=40), *tone(seconds=1.6), "-frames:v", 40, *X264, "-g", 10, *AAC, path)


@recipe(".mp4")
def film(_: Clips, path: Path) -> None:
    """Twenty-four seconds with B-frames, in ten groups, with sound."""
    encoder = ("-c:v", "libx264", "-preset", "fast", "-g", 60, "-bf", 3)
    ffmpeg(*moving(frames=600), *tone(seconds=24), "-frames:v", 600, *encoder, *AAC, path)


@recipe(".mp4")
def faststart(clips: Clips, path: Path) -> None:
    """The same with its index in front, so that it can be read when cut off."""
    ffmpeg("-i", clips("long_gop"), "-c", "copy", "-movflags", "+faststart", path)


@recipe(".mkv")
def long_gop_mkv(clips: Clips, path: Path) -> None:
    ffmpeg("-i", clips("long_gop"), "-c", "copy", path)


@recipe(".ts")
def long_gop_ts(clips: Clips, path: Path) -> None:
    ffmpeg("-i", clips("long_gop"), "-c", "copy", path)


@recipe(".m4a")
def audio_only(_: Clips, path: Path) -> None:
    ffmpeg(*tone(), *AAC, path)


@recipe(".mp4")
def audio_only_mp4(_: Clips, path: Path) -> None:
    ffmpeg(*tone(), *AAC, path)


@recipe(".mp4")
def empty(_: Clips, path: Path) -> None:
    path.write_bytes(b"")


@recipe(".mp4")
def prose(_: Clips, path: Path) -> None:
    path.write_text("This is no clip.\n" * 200)


@recipe(".mkv")
def noise(_: Clips, path: Path) -> None:
    path.write_bytes(np.random.default_rng(1).integers(0, 256, 20_000, dtype=np.uint8).tobytes())
