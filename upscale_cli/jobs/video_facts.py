"""A clip to be upscaled, as values: what is read, what is written, and how. Pure."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Final, Literal, Self, get_args

from upscale_cli.errors import OptionError
from upscale_cli.inference.sizing import Target
from upscale_cli.jobs.job import absolute, check_side
from upscale_cli.media.image.formats import MAX_PIXELS
from upscale_cli.media.video.carried_metadata import check_colours
from upscale_cli.media.video.container import Container
from upscale_cli.media.video.encoding import EncodeOptions
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg
from upscale_cli.media.video.reader_arguments import DecodeOptions
from upscale_cli.media.video.streams import FILE, Clip, VideoStream
from upscale_cli.media.video.tee import Tee
from upscale_cli.messages import option

DEFAULT_CLIP_SCALE: Final = 2
"""For clips, unless the model has one scale only."""

LONGEST_PREVIEW: Final = 3600.0

Realtime = Literal["file", "strict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipOptions:
    """How a clip is read, encoded and kept.

    Attributes:
        decode: which frames; deinterlacing; hwaccel.
        encode: codec, quality, pixel format.
        video_stream: which stream is upscaled: an index among the video streams, "all", or None for the one that
            players show.
        overwrite: replace an output that exists.
        reuse: do not compute a frame again that equals the one before, nor windows of it that do: which changes no
            sample.
        steady: average each frame with those before it, along the motion of the clip (`inference.steady`).
        max_pixels: most pixels a frame of the source may have.
        realtime: "file": the fastest settings; "strict": also bicubic for frames that would come too late; None: off.
        resume: work in segments that a later run can take up.
        preview: seconds of a before/after clip, instead of the whole.
        play: show it in a player instead of writing a file.
        live: the source is an address or a device, or the output is an address.
        only_below: leave alone what has a shorter side of so many pixels or more.
        yes: begin what is expected to take more than 48 hours.
    """

    decode: DecodeOptions = field(default_factory=DecodeOptions)
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    video_stream: str | None = None
    overwrite: bool = False
    reuse: bool = True
    steady: bool = False
    max_pixels: int = MAX_PIXELS
    realtime: Realtime | None = None
    resume: bool = False
    preview: float | None = None
    play: bool = False
    live: bool = False
    only_below: int | None = None
    yes: bool = False

    def __post_init__(self) -> None:
        if self.realtime is not None and self.realtime not in get_args(Realtime):
            known = " or ".join(option("realtime", pace) for pace in get_args(Realtime))
            raise OptionError(f"{option('realtime', self.realtime)} is not known. Choose {known}.")
        check_side(self.only_below)
        if self.preview is not None and not 0.1 <= self.preview <= LONGEST_PREVIEW:
            raise OptionError(
                f"{option('preview', self.preview)} is no length. Choose seconds, from 0.1 to {LONGEST_PREVIEW:.0f}."
            )

    @property
    def hurries(self) -> bool:
        """Whether speed counts for more than anything: the fastest of all settings."""
        return self.realtime is not None or self.play or self.live


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """One clip and one output: all of a `VideoJob` but how it is run.

    Attributes:
        output: a file, a stream of bytes (standard output), an address to send to, or None for a player.
        container: what is written.
        target: how large the result shall be.
        note: why the container is not the source's.
        tee: the source's bytes, where they can be read once only.
        why: the model was chosen for this very clip; "" where the upscaler knows.
    """

    clip: Clip
    output: Path | str | IO[bytes] | None
    output_name: str
    container: Container
    target: Target
    options: ClipOptions = field(default_factory=ClipOptions)
    note: str | None = None
    tee: Tee | None = None
    why: str = ""

    @property
    def name(self) -> str:
        """Of the source, for messages."""
        return self.clip.name

    @property
    def source(self) -> Path | str:
        """The file; "pipe:0" for bytes that come once only."""
        return self.clip.path or self.clip.source

    @property
    def streams(self) -> tuple[VideoStream, ...]:
        """Those that are upscaled."""
        return chosen_streams(self.clip, self.options.video_stream)

    @property
    def lr_size(self) -> tuple[int, int]:
        """(width, height) of the first of them."""
        return self.streams[0].width, self.streams[0].height

    @property
    def frames(self) -> int | None:
        """Of the first stream, as the container declares or by its duration; None where unknown."""
        stream = self.streams[0]
        return stream.frames or (round(stream.seconds * stream.rate) if stream.seconds else None)

    @property
    def megapixels(self) -> float:
        """Million SR pixels of the first stream; of one frame where their number is unknown."""
        width, height = self.target.size_for(*self.lr_size)
        return width * height * (self.frames or 1) / 1e6

    @property
    def overwrite(self) -> bool:
        return self.options.overwrite

    @property
    def is_local(self) -> bool:
        return self.tee is not None or not isinstance(self.output, Path)

    @property
    def fills_machine(self) -> bool:
        return True

    def absolute(self) -> Self:
        source = f"{FILE}{absolute(self.source)}" if isinstance(self.source, Path) else self.source
        clip = replace(self.clip, source=source)
        if clip.pictures is not None:
            paths = tuple(os.path.abspath(path) if path else "" for path in clip.pictures.paths)
            clip = replace(clip, pictures=replace(clip.pictures, paths=paths))
        return replace(self, clip=clip, output=absolute(self.output))

    def replacing(self) -> Self:
        return replace(self, options=replace(self.options, overwrite=True))

    def check_machine(self) -> None:
        find_ffmpeg()

    @property
    def encode(self) -> EncodeOptions:
        """What the user wants of the encoder, and what real time and viewers need of it."""
        wanted, hurries = self.options.encode, self.options.hurries
        is_sent = self.options.live or not isinstance(self.output, Path)
        return replace(wanted, realtime=wanted.realtime or hurries, live=wanted.live or (hurries and is_sent))

    @property
    def is_clocked(self) -> bool:
        """Whether frames have a deadline: it is watched or received live, or the user wants it so."""
        options = self.options
        is_passed_on = self.tee is not None or not isinstance(self.output, Path)
        always = options.play or options.live or options.realtime == "strict"
        return always or (options.realtime is not None and is_passed_on)

    @property
    def is_paced(self) -> bool:
        """Whether the source has to be read at the pace it plays at, for viewers need no more."""
        is_live = self.tee is not None and self.tee.is_live
        return self.is_clocked and not isinstance(self.output, Path) and not is_live


def chosen_streams(clip: Clip, wanted: str | None) -> tuple[VideoStream, ...]:
    """The video streams that `ClipOptions.video_stream` means.

    Raises:
        OptionError: no such stream.
        InputError: its samples would be taken for other colours than they are.
    """
    chosen = _chosen_streams(clip, wanted)
    for stream in chosen:
        check_colours(clip, stream)
    return chosen


def _chosen_streams(clip: Clip, wanted: str | None) -> tuple[VideoStream, ...]:
    if wanted is None:
        return (clip.stream(clip.main),)
    if wanted == "all":
        return clip.video
    if not wanted.isdecimal() or int(wanted) >= len(clip.video):
        have = "one video stream, 0" if len(clip.video) == 1 else f"video streams 0 to {len(clip.video) - 1}"
        raise OptionError(f"{option('video_stream', wanted)}: {clip.name} has {have}. Choose one of them, or all.")
    return (clip.video[int(wanted)],)
