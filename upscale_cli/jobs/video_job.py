"""A clip to be upscaled, as values: what is read, what is written, and how. Pure."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Final, Literal

from upscale_cli.inference.sizing import Target
from upscale_cli.media.image.formats import MAX_PIXELS
from upscale_cli.media.video.container import Container
from upscale_cli.media.video.encoding import EncodeOptions
from upscale_cli.media.video.reader import DecodeOptions
from upscale_cli.media.video.streams import Clip
from upscale_cli.media.video.tee import Once

DEFAULT_CLIP_SCALE: Final = 2
"""For clips, unless the model has one scale only."""

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
        dedup: do not compute a frame again that equals the one before.
        max_pixels: most pixels a frame of the source may have.
        realtime: "file": the fastest settings; "strict": also bicubic for frames that would come too late; None: off.
        resume: work in stretches that a later run can take up.
        preview: seconds of a before/after clip, instead of the whole.
        play: show it in a player instead of writing a file.
        live: the source is an address or a device, or the output is an address.
    """

    decode: DecodeOptions = field(default_factory=DecodeOptions)
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    video_stream: str | None = None
    overwrite: bool = False
    dedup: bool = True
    max_pixels: int = MAX_PIXELS
    realtime: Realtime | None = None
    resume: bool = False
    preview: float | None = None
    play: bool = False
    live: bool = False

    @property
    def hurries(self) -> bool:
        """Whether speed counts for more than anything: the fastest of all settings."""
        return self.realtime is not None or self.play or self.live


@dataclass(frozen=True, slots=True)
class ClipJob:
    """One clip and one output.

    Attributes:
        output: a file, a stream of bytes (standard output), an address to send to, or None for a player.
        container: what is written.
        target: how large the result shall be.
        note: why the container is not the source's.
        once: the source's bytes, where they come once only.
    """

    clip: Clip
    output: Path | str | IO[bytes] | None
    output_name: str
    container: Container
    target: Target
    options: ClipOptions = field(default_factory=ClipOptions)
    note: str | None = None
    once: Once | None = None

    @property
    def encode(self) -> EncodeOptions:
        """What the user wants of the encoder, and what hurry and an audience want of it."""
        wanted, hurries = self.options.encode, self.options.hurries
        is_sent = self.options.live or not isinstance(self.output, Path)
        return replace(wanted, realtime=wanted.realtime or hurries, live=wanted.live or (hurries and is_sent))

    @property
    def is_clocked(self) -> bool:
        """Whether frames have a deadline: somebody watches or sends, or the user wants it so."""
        options = self.options
        is_passed_on = self.once is not None or not isinstance(self.output, Path)
        always = options.play or options.live or options.realtime == "strict"
        return always or (options.realtime is not None and is_passed_on)

    @property
    def is_paced(self) -> bool:
        """Whether the source has to be read at the pace it plays at, for whoever watches has no more use for it."""
        is_live = self.once is not None and self.once.is_live
        return self.is_clocked and not isinstance(self.output, Path) and not is_live
