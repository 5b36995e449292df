"""What is asked of an encoder, what it is to encode, and ffmpeg's arguments for it. Values only."""

from dataclasses import dataclass, replace
from fractions import Fraction

from upscale_cli.frames.colour_tags import ColourTags, ContentLight, MasteringDisplay
from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.media.video.streams import Orientation


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeOptions:
    """What the user wants of the encoder.

    Attributes:
        codec: ffmpeg's name of an encoder (see `CODECS`), or "auto".
        crf: quality on the encoder's own scale; None for its default here.
        preset: one of the encoder's; None for its default here.
        pix_fmt: ffmpeg's name of the pixel format to encode; None to stay as near as the encoder can.
        extra: more options of the encoder, (name, value) each.
        realtime: as fast as it goes, in hardware if there is any.
        live: a frame leaves as soon as it came.
        closed_gop: runs of the encoder can be joined without encoding again.
    """

    codec: str = "auto"
    crf: float | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    extra: tuple[tuple[str, str], ...] = ()
    realtime: bool = False
    live: bool = False
    closed_gop: bool = False

    @property
    def leaves_codec_open(self) -> bool:
        """Whether nothing is asked for that only some encoders have, and no hurry."""
        return self.crf is None and self.preset is None and not self.extra and not (self.realtime or self.live)

    def without_details(self) -> "EncodeOptions":
        """The same request for an encoder that the details were not meant for."""
        return replace(self, crf=None, preset=None, pix_fmt=None, extra=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is to be encoded.

    Attributes:
        format: of the frames as they come.
        width, height: in pixels.
        rate: frames per second, the best guess.
        tags: what the code values mean, complete.
        sar: sample aspect ratio.
        orientation: None where the picture is stored upright.
        lossless: what the source is coded by, where that loses nothing; "" where it does.
        for_players: RGB that nobody asks to be kept as such: 4:2:0, which all players show, does.
        mastering, light: HDR10 metadata.
    """

    format: PixelFormat
    width: int
    height: int
    rate: Fraction
    tags: ColourTags
    sar: Fraction = Fraction(1)
    mastering: MasteringDisplay | None = None
    light: ContentLight | None = None
    orientation: Orientation | None = None
    lossless: str = ""
    for_players: bool = False


@dataclass(frozen=True, slots=True)
class Encoder:
    """ffmpeg's arguments to encode with one encoder.

    Attributes:
        name: of the encoder.
        pix_fmt: what it encodes.
        width, height: of the frames to feed: the picture's, made even (by repeating edges) where the encoder needs it.
        sar: gives those frames the aspect that the picture has.
        input_arguments: go before the input.
        filters: the value of -vf.
        arguments: go before the output.
        device_arguments: global, go first.
    """

    name: str
    pix_fmt: str
    width: int
    height: int
    sar: Fraction
    input_arguments: tuple[str, ...]
    filters: str
    arguments: tuple[str, ...]
    device_arguments: tuple[str, ...]
