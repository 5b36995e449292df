"""The main verb's options for clips. Imports neither torch nor numpy."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal, cast

from upscale_cli.cli.option_values import encoder_arguments, frame_rate, seconds_of
from upscale_cli.cli.options import in_video
from upscale_cli.messages import option

if TYPE_CHECKING:
    from upscale_cli.jobs.video_facts import ClipOptions, Realtime


@dataclass(frozen=True, slots=True)
class VideoGroup:
    codec: Annotated[
        str,
        in_video(
            "--codec",
            metavar="NAME",
            help="libx264, libx265, libsvtav1, libvpx-vp9, prores_ks, ffv1, or a hardware encoder such as hevc_nvenc. "
            "auto: libx264, libx265 for 10 bits and HDR, libvpx-vp9 for WebM.",
        ),
    ] = "auto"
    crf: Annotated[
        float | None,
        in_video(
            "--crf",
            metavar="NUMBER",
            show_default=False,
            help="Quality, lower is better. Default: 18, or what comes near it in the codec.",
        ),
    ] = None
    preset: Annotated[
        str | None,
        in_video(
            "--preset", metavar="NAME", show_default=False, help="The encoder's speed, such as ultrafast or slow."
        ),
    ] = None
    pix_fmt: Annotated[
        str | None,
        in_video(
            "--pix-fmt",
            metavar="NAME",
            show_default=False,
            help="Pixel format to encode, such as yuv420p. Default: the clip's.",
        ),
    ] = None
    encoder_arg: Annotated[
        list[str] | None,
        in_video("--encoder-arg", metavar="K=V", show_default=False, help="Anything else for the encoder; repeatable."),
    ] = None
    hwaccel: Annotated[
        str | None,
        in_video(
            "--hwaccel",
            metavar="NAME",
            show_default=False,
            help="Decode in hardware: cuda, qsv, vaapi, videotoolbox, ... or auto.",
        ),
    ] = None
    start: Annotated[
        str | None,
        in_video(
            "--start", metavar="TIME", show_default=False, help="Take frames from this time on: seconds or [H:]M:S."
        ),
    ] = None
    end: Annotated[
        str | None, in_video("--end", metavar="TIME", show_default=False, help="Take frames before this time.")
    ] = None
    frames: Annotated[
        int | None, in_video("--frames", metavar="N", min=1, show_default=False, help="Take at most N frames.")
    ] = None
    fps: Annotated[
        str | None,
        in_video(
            "--fps",
            metavar="RATE",
            show_default=False,
            help="Frame rate of raw streams, which have no timestamps: 25, 24000/1001.",
        ),
    ] = None
    video_stream: Annotated[
        str | None,
        in_video(
            "--video-stream",
            metavar="N|all",
            show_default=False,
            help="Which video stream to upscale. Default: the one that players show.",
        ),
    ] = None
    deinterlace: Annotated[
        Literal["auto", "off", "frame", "field"],
        in_video(
            "--deinterlace",
            metavar="HOW",
            help="auto: where a stream is flagged interlaced; off; frame: always, one frame for one; "
            "field: always, two frames of each.",
        ),
    ] = "auto"
    no_reuse: Annotated[
        bool,
        in_video(
            "--no-reuse",
            "--no-dedup",
            help="Compute again what equals the frame before, in whole or in part.",
        ),
    ] = False
    steady: Annotated[
        bool,
        in_video(
            "--steady",
            help="Flicker less: average each frame with the two before it, along the motion of the clip. Slower.",
        ),
    ] = False
    realtime: Annotated[
        str | None,
        in_video(
            "--realtime",
            metavar="[=strict]",
            show_default=False,
            help="Keep up with the clock: fastest settings. =strict: bicubic for frames that come too late.",
        ),
    ] = None
    play: Annotated[bool, in_video("--play", help="Watch it, in ffplay or mpv.")] = False
    live: Annotated[bool, in_video("--live", help="INPUT is an address or a camera: rtsp, udp, v4l2.")] = False
    resume: Annotated[
        bool,
        in_video(
            "--resume",
            help="Go on where a killed run with --resume stopped; with nothing to go on with, begin. Photos larger "
            "than memory too.",
        ),
    ] = False
    preview: Annotated[
        float | None,
        in_video("--preview", metavar="SECONDS", show_default=False,
                 help="Write a short clip of before and after, side by side."),
    ] = None  # fmt: skip

    @property
    def given(self) -> tuple[str, ...]:
        """Those that differ from the default and are for clips alone, marked for messages."""
        usual = {field.name: field.default for field in fields(self) if field.name != "resume"}  # photos have that too
        names = {name: getattr(self, name) for name, value in usual.items() if getattr(self, name) != value}
        return tuple(
            option("reuse", False) if name == "no_reuse" else option({"encoder_arg": "extra"}.get(name, name))
            for name in names
        )

    def options(self, *, overwrite: bool, max_pixels: int, yes: bool, only_below: int | None = None) -> "ClipOptions":
        """As the core takes them.

        Raises:
            OptionError: a value is no such thing, or two exclude each other.
        """
        from upscale_cli.jobs.video_facts import ClipOptions
        from upscale_cli.media.video.encoding import EncodeOptions
        from upscale_cli.media.video.reader_arguments import DecodeOptions

        decode = DecodeOptions(
            start=seconds_of("--start", self.start), end=seconds_of("--end", self.end), frames=self.frames,
            fps=frame_rate(self.fps), deinterlace=self.deinterlace, hwaccel=self.hwaccel,
        )  # fmt: skip
        encode = EncodeOptions(
            codec=self.codec, crf=self.crf, preset=self.preset, pix_fmt=self.pix_fmt,
            extra=encoder_arguments(self.encoder_arg or []),
        )  # fmt: skip
        return ClipOptions(
            decode=decode, encode=encode, video_stream=self.video_stream, overwrite=overwrite, reuse=not self.no_reuse,
            steady=self.steady, max_pixels=max_pixels, realtime=cast("Realtime | None", self.realtime),
            resume=self.resume, preview=self.preview, play=self.play, live=self.live, yes=yes, only_below=only_below,
        )  # fmt: skip
