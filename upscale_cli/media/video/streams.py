"""What is in a clip, as values: the probe finds them out, everything else reads them. Pure."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal

from upscale_cli.frames.colour_tags import ColourTags, ContentLight, MasteringDisplay
from upscale_cli.media.video.spatial import Spatial

UNKNOWN: Final = "unknown"
"""A coding that libavcodec has no name for."""

FILE: Final = "file:"
"""ffmpeg's protocol before the path of a file, so that no name of one is taken for an address or an option."""


def path_in(source: str) -> Path | None:
    """The file that `Clip.source` names; None where it names an address, a device or a pipe."""
    return Path(source.removeprefix(FILE)) if source.startswith(FILE) else None


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a player turns the stored picture (display matrix).

    Attributes:
        rotation: degrees counter-clockwise, as `-display_rotation` takes it.
        hflip, vflip: as `-display_hflip`, `-display_vflip`, applied after the rotation.
    """

    rotation: float = 0.0
    hflip: bool = False
    vflip: bool = False


@dataclass(frozen=True, slots=True)
class Crop:
    """Pixels at the borders of what is decoded that the container does not show (`clap`, Matroska's PixelCrop)."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoStream:
    """A video stream that can be upscaled.

    Attributes:
        index: among all streams of the file.
        codec: the decoder's name without what is specific to a library ("av1", not "libdav1d").
        width, height: of the picture, in pixels; what the crop leaves of it.
        crop: what the container cuts off; what the bitstream cuts off, decoders do.
        pixel_format: ffmpeg's name of what the decoder gives; may be outside of `pixel_format.FORMATS`.
        time_base: seconds per tick of the timestamps.
        start: first timestamp in ticks; None where there is none.
        rate: frames per second, the best guess; the average for variable rates.
        frames: how many there are; None where the container does not say.
        seconds: how long the stream lasts; None where unknown.
        sar: sample aspect ratio; 1 where unknown.
        tags: as tagged.
        orientation: None where the picture is stored upright.
        spatial: of a sphere, or of views for two eyes; None where it is flat.
        mastering, light: HDR10 metadata.
        dynamic_hdr: names of dynamic metadata seen ("HDR10+", "Dolby Vision").
        dolby_vision_profile: as its configuration says; None where it has none.
        captions: closed captions (EIA-608, EIA-708) were seen in its first frames.
        interlaced: its first frames are flagged so, or the container says so.
        alpha_decoder: the decoder that keeps its alpha (libvpx, libvpx-vp9); None where it has none, or any will do.
        lossless: its coding loses nothing, whatever the encoder was asked for (FFV1, raw video, PNG, ...), or its
            headers say that nothing was lost (H.264, VP9, HEVC by x265).
        x264_build: of the x264 that has made it, as its first frames say; None where they do not.
        bits_per_pixel: that the coding takes in the mean over the whole stream; None where unknown.
        untimed: the container has no timestamps (raw streams).
        disposition: ffmpeg's names ("default", ...).
        metadata: its tags, as stored.
    """

    index: int
    codec: str
    width: int
    height: int
    pixel_format: str
    time_base: Fraction
    start: int | None
    rate: Fraction
    frames: int | None
    seconds: float | None
    sar: Fraction = Fraction(1)
    crop: Crop | None = None
    tags: ColourTags = ColourTags()
    orientation: Orientation | None = None
    spatial: Spatial | None = None
    mastering: MasteringDisplay | None = None
    light: ContentLight | None = None
    dynamic_hdr: tuple[str, ...] = ()
    dolby_vision_profile: int | None = None
    captions: bool = False
    interlaced: bool = False
    alpha_decoder: str | None = None
    lossless: bool = False
    x264_build: int | None = None
    bits_per_pixel: float | None = None
    untimed: bool = False
    disposition: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherStream:
    """Any stream that is carried along.

    Attributes:
        kind: "audio", "subtitle", "data", "attachment", "picture" (cover art), or "video" that nothing here decodes;
            all other video is a `VideoStream`.
        codec: ffmpeg's name; "unknown" where it has none.
        tag: what the container calls the codec, four characters ("tmcd"); "" where it does not.
        has_decoder: whether PyAV can decode it.
        is_described: False for sound whose rate and channels are not known, and for video whose size is not.
        disposition: ffmpeg's names, "default", "forced", "attached_pic", ...
    """

    index: int
    kind: Literal["audio", "subtitle", "data", "attachment", "picture", "video"]
    codec: str
    tag: str = ""
    has_decoder: bool = True
    is_described: bool = True
    disposition: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Program:
    """A program (service) of a transport stream.

    Attributes:
        number: by which receivers know it.
        name, provider: "" where they are not given.
        streams: indices of its streams; one may belong to several programs.
    """

    number: int
    name: str
    provider: str
    streams: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TagRepair:
    """A tag that is not UTF-8.

    Attributes:
        place: what it belongs to; with `index`, of the stream or the chapter.
        key: its name, as it can be shown.
        text: what it says, by a guess; None where there is none, and its bytes are copied.
    """

    place: Literal["file", "stream", "chapter"]
    index: int
    key: str
    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Pictures that are taken for a clip.

    Attributes:
        paths: one animation; or a file for each frame, "" where a number is missing.
        first: the number of the first file.
        times: when each frame of an animation is shown, in milliseconds; () for files.
        end: when its last frame ends.
        notes: what the user should know of them.
    """

    paths: tuple[str, ...]
    first: int = 1
    times: tuple[int, ...] = ()
    end: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A clip, as probed.

    Attributes:
        source: what to give to ffmpeg after -i, and to PyAV: "file:PATH", or "pipe:0" for standard input.
        name: for messages.
        format: the demuxer, as libavformat names it ("mov,mp4,m4a,3gp,3g2,mj2").
        video: the video streams that can be upscaled, by index.
        main: which of them a player shows (index among all streams).
        others: everything else, by index.
        seconds: of the longest stream; None where unknown.
        start_seconds: of the earliest timestamp.
        chapters: how many.
        seekable: has an index, so that seeking to a time is exact and cheap.
        metadata: its tags, as they can be shown.
        tag_repairs: those that are not UTF-8.
        programs: of a transport stream.
        file_bytes: how large the file is; None where it is none.
        pictures: what it is made of, where it is no clip but pictures; then `source` is nothing that can be opened.
    """

    source: str
    name: str
    format: str
    video: tuple[VideoStream, ...]
    main: int
    others: tuple[OtherStream, ...] = ()
    seconds: float | None = None
    start_seconds: float = 0.0
    chapters: int = 0
    seekable: bool = False
    pictures: Pictures | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    tag_repairs: tuple[TagRepair, ...] = ()
    programs: tuple[Program, ...] = ()
    file_bytes: int | None = None

    @property
    def path(self) -> Path | None:
        """The file; None where the source is an address, a device or a pipe."""
        return path_in(self.source)

    def stream(self, index: int) -> VideoStream:
        """The video stream of that index."""
        return next(stream for stream in self.video if stream.index == index)
