"""Which containers there are to write, what each can hold, and which one a clip gets. Pure.

Only containers that give back every timestamp are written. Measured with ffmpeg 7.0 and 9.0, x264 with B-frames,
constant and variable rates, with and without an offset: Matroska, WebM, MP4, MOV, 3GP, F4V, MPEG-TS and M2TS are exact;
FLV and NUT have nothing below 0, and where sound or decoding begins there, all streams are shifted together. AVI, ASF,
MXF and Ogg move frames or refuse the codec; MPEG-PS loses the timestamps of small frames. The tables of codings were
measured too: each was muxed and read back as what it was. What becomes of a clip's streams in a container is in
`carried_streams`.
"""

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, Literal

from upscale_cli.errors import OutputError
from upscale_cli.media.image.formats import as_ending
from upscale_cli.media.video.streams import Clip

_MP4_AUDIO: Final = (
    *("aac", "mp3", "mp2", "ac3", "eac3", "dts", "truehd", "opus", "vorbis", "flac", "alac", "pcm_s16le", "pcm_s16be"),
    *("pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le", "pcm_f32be", "pcm_f64le"),
)
_MOV_AUDIO: Final = (
    *("aac", "mp3", "mp2", "ac3", "eac3", "dts", "vorbis", "alac", "amr_nb", "amr_wb", "pcm_s16le", "pcm_s16be"),
    *("pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_u8", "pcm_s8", "pcm_f32le", "pcm_f32be", "pcm_f64le"),
    *("pcm_alaw", "pcm_mulaw", "adpcm_ima_qt"),
)
_MATROSKA_AUDIO: Final = (
    *("aac", "mp3", "mp2", "ac3", "eac3", "dts", "truehd", "mlp", "opus", "vorbis", "flac", "alac", "tta", "wavpack"),
    *("wmav1", "wmav2", "wmapro", "wmalossless", "amr_nb", "adpcm_ms", "adpcm_ima_wav", "adpcm_swf", "pcm_s16le"),
    *("pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_u8", "pcm_f32le", "pcm_f64le"),
    *("pcm_alaw", "pcm_mulaw"),
)
_NUT_AUDIO: Final = (
    *("aac", "mp3", "mp2", "ac3", "dts", "opus", "vorbis", "flac", "wavpack", "wmav1", "wmav2", "amr_nb", "pcm_s16le"),
    *("pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_u8", "pcm_s8", "pcm_f32le", "pcm_f32be"),
    *("pcm_f64le", "pcm_alaw", "pcm_mulaw", "adpcm_ms", "adpcm_ima_wav"),
)
_TS_AUDIO: Final = ("aac", "mp3", "mp2", "ac3", "eac3", "dts", "truehd", "opus")
_OLD_VIDEO: Final = ("mpeg1video", "mpeg2video", "mpeg4", "mjpeg", "png")
_ANY_VIDEO: Final = (
    *("h264", "hevc", "av1", "vp8", "vp9", "prores", "ffv1", "dnxhd", "theora", "wmv2", "rawvideo", "flv1", "h263"),
    *("msmpeg4v3", "dvvideo", "cinepak", *_OLD_VIDEO),
)
_MOV_VIDEO: Final = tuple(codec for codec in _ANY_VIDEO if codec not in ("av1", "vp8", "vp9"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container that can be written.

    Attributes:
        name: key of `CONTAINERS`, as shown to the user.
        muxer: ffmpeg's -f.
        extensions: lower case, with the dot; the first is the one written by default.
        demuxers: libavformat's names of what is read as this container.
        video, audio_codecs, subtitles, data: names of the codings it holds as they are.
        by_tag: kinds of streams that it gives back whatever their coding, where a tag names that.
        text_subtitles: encoder for text subtitles that it cannot hold as they are; None where it holds no text.
        audio: encoder for sound that it cannot hold as it is.
        lossless_audio: the same for sound that has lost nothing so far; None: as `audio`.
        arguments: ffmpeg's options for the muxer.
        attachments, chapters: whether it holds files, chapters.
        pictures: how it holds cover art: as a stream, or as an attached file (else it would be a film of one frame).
        several: whether it holds more than one stream of a kind.
        several_videos: the same for video alone. (Of M2TS ffmpeg knows the identifiers of one, and of no data.)
        frames: where it is none of ffmpeg's: frames become those of an animation, or a picture each ("sequence").
        picture: the format of these pictures, a key of `image.formats.FORMATS`.
    """

    name: str
    muxer: str
    extensions: tuple[str, ...]
    demuxers: tuple[str, ...] = ()
    video: tuple[str, ...]
    audio_codecs: tuple[str, ...]
    subtitles: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    by_tag: tuple[Literal["video", "audio"], ...] = ()
    text_subtitles: str | None = None
    audio: str = "aac"
    lossless_audio: str | None = None
    arguments: tuple[str, ...] = ()
    attachments: bool = False
    chapters: bool = True
    pictures: Literal["stream", "file"] | None = None
    several: bool = True
    several_videos: bool = True
    frames: Literal["", "animation", "sequence"] = ""
    picture: str = ""


# The index goes to the front, so that a player on the network can begin; and what needs it may be called experimental.
_MP4_ARGUMENTS: Final = ("-movflags", "+faststart", "-strict", "experimental")
# Sound often begins a little before 0, to prime its decoder; ffmpeg 7 would move everything behind that.
_NEGATIVE_TIMES: Final = ("-avoid_negative_ts", "disabled")
# Without these the muxer would add 0.7 s of its own to every timestamp, twice.
_TS_ARGUMENTS: Final = ("-muxdelay", "0", "-muxpreload", "0")

_ROWS: Final = (
    Container(
        name="Matroska",
        muxer="matroska",
        extensions=(".mkv",),
        demuxers=("matroska,webm",),
        video=_ANY_VIDEO,
        audio_codecs=_MATROSKA_AUDIO,
        subtitles=("subrip", "ass", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"),
        by_tag=("video",),
        text_subtitles="srt",
        audio="flac",
        arguments=_NEGATIVE_TIMES,
        attachments=True,
        pictures="file",
    ),
    Container(
        name="WebM",
        muxer="webm",
        extensions=(".webm",),
        demuxers=("matroska,webm",),
        video=("vp8", "vp9", "av1"),
        audio_codecs=("opus", "vorbis"),
        subtitles=("webvtt",),
        text_subtitles="webvtt",
        audio="libopus",
        arguments=_NEGATIVE_TIMES,
    ),
    Container(
        name="MP4",
        muxer="mp4",
        extensions=(".mp4", ".m4v"),
        demuxers=("mov,mp4,m4a,3gp,3g2,mj2",),
        video=("h264", "hevc", "av1", "vp9", *_OLD_VIDEO),
        audio_codecs=_MP4_AUDIO,
        subtitles=("mov_text", "dvd_subtitle"),
        data=("gpmd",),
        text_subtitles="mov_text",
        lossless_audio="alac",
        arguments=_MP4_ARGUMENTS,
        pictures="stream",
    ),
    Container(
        name="QuickTime",
        muxer="mov",
        extensions=(".mov", ".qt"),
        demuxers=("mov,mp4,m4a,3gp,3g2,mj2",),
        video=_MOV_VIDEO,
        audio_codecs=_MOV_AUDIO,
        subtitles=("mov_text", "eia_608"),
        data=("gpmd",),
        text_subtitles="mov_text",
        lossless_audio="alac",
        arguments=_MP4_ARGUMENTS,
    ),
    Container(
        name="3GP",
        muxer="3gp",
        extensions=(".3gp", ".3g2"),
        video=("h264", "mpeg4", "h263"),
        audio_codecs=("aac", "amr_nb", "amr_wb"),
        subtitles=("mov_text",),
        text_subtitles="mov_text",
        arguments=_MP4_ARGUMENTS,
    ),
    Container(
        name="F4V",
        muxer="f4v",
        extensions=(".f4v",),
        video=("h264",),
        audio_codecs=("aac", "mp3"),
        arguments=(*_MP4_ARGUMENTS, *_NEGATIVE_TIMES),
    ),
    Container(
        name="MPEG-TS",
        muxer="mpegts",
        extensions=(".ts", ".m2t"),
        demuxers=("mpegts",),
        video=("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"),
        audio_codecs=_TS_AUDIO,
        subtitles=("dvb_subtitle", "dvb_teletext"),
        data=("klv", "timed_id3"),
        arguments=_TS_ARGUMENTS,
        chapters=False,
    ),
    Container(
        name="M2TS",
        muxer="mpegts",
        extensions=(".m2ts", ".mts"),
        demuxers=("mpegts",),
        video=("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"),
        audio_codecs=(*_TS_AUDIO, "pcm_bluray"),
        subtitles=("dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle"),
        arguments=(*_TS_ARGUMENTS, "-mpegts_m2ts_mode", "1"),
        chapters=False,
        several_videos=False,
    ),
    Container(
        name="FLV",
        muxer="flv",
        extensions=(".flv",),
        demuxers=("flv", "live_flv"),
        video=("h264", "flv1"),
        audio_codecs=("aac", "mp3", "adpcm_swf", "nellymoser"),
        chapters=False,
        several=False,
    ),
    Container(
        name="NUT",
        muxer="nut",
        extensions=(".nut",),
        demuxers=("nut",),
        video=_ANY_VIDEO,
        audio_codecs=_NUT_AUDIO,
        subtitles=("ass",),
        by_tag=("video", "audio"),
        text_subtitles="ass",
        audio="flac",
    ),
)

CONTAINERS: Final[dict[str, Container]] = {row.name: row for row in _ROWS}
"""Every container that is written, by name."""

_BY_EXTENSION: Final = {extension: row for row in _ROWS for extension in row.extensions}


def ending_of(format: str) -> str:
    """The ending that a format means; one that is known by the container's name, ours or ffmpeg's, gets its ending.

    >>> ending_of("matroska"), ending_of("MPEG-TS"), ending_of("webm"), ending_of("jpg")
    ('mkv', 'ts', 'webm', 'jpg')
    """
    plain = re.sub(r"[^a-z0-9]", "", format.lower())
    found = {re.sub(r"[^a-z0-9]", "", name.lower()): row for row in reversed(_ROWS) for name in (row.name, row.muxer)}
    is_known = as_ending(format) in _BY_EXTENSION or plain not in found
    return format if is_known else found[plain].extensions[0].removeprefix(".")


def known_containers() -> str:
    """The ending that each container is written with, for messages."""
    return ", ".join(row.extensions[0] for row in _ROWS)


def container_named(extension: str) -> Container:
    """The container that a file name's extension asks for, in any case, with or without the dot.

    Raises:
        OutputError: none that is written.

    >>> container_named("MKV").name, container_named(".m4v").name
    ('Matroska', 'MP4')
    """
    row = _BY_EXTENSION.get(as_ending(extension.strip()))
    if row is None:
        raise OutputError(
            f'extension "{extension}" names no container that keeps a clip\'s timestamps. '
            f"Choose one of {known_containers()}."
        )
    return row


def container_like(clip: Clip) -> tuple[Container, str | None]:
    """The container to write where the user names none: the clip's own, or Matroska.

    Returns:
        The container, and one line that says why it is not the clip's own; None where it is.
    """
    row = _BY_EXTENSION.get(PurePath(clip.name).suffix.lower())
    if row is not None and _is_read_as(clip, row):
        return row, None
    for row in _ROWS:  # a name without extension, or with another's
        if clip.format in row.demuxers:
            return row, None
    why = "has no timestamps" if clip.stream(clip.main).untimed else "cannot keep every timestamp"
    return CONTAINERS["Matroska"], f"the clip's own container ({clip.format}) {why}; Matroska is written instead"


def _is_read_as(clip: Clip, row: Container) -> bool:
    """Whether a clip with this container's extension really is one; 3GP and F4V are read as MP4 is."""
    return clip.format in (row.demuxers or CONTAINERS["MP4"].demuxers)


def container_arguments(container: Container, clip: Clip) -> list[str]:
    """ffmpeg's options for the muxer, its -f among them.

    A phone's own tags (com.apple.quicktime.*: place, make, model) survive only if all tags are stored that way, and
    then there is no room for cover art.
    """
    arguments = ["-f", container.muxer, *container.arguments]
    own_tags = any("." in key for key in clip.metadata)
    if "-movflags" in arguments and own_tags and not any(stream.kind == "picture" for stream in clip.others):
        arguments[arguments.index("-movflags") + 1] += "+use_metadata_tags"
    return arguments
