"""How everything but the upscaled pictures gets into the output: sound, subtitles, cover art, data, tags, chapters.

Pure: plans values and ffmpeg's arguments, runs nothing. Each stream is copied, converted where the container cannot
hold it as it is, or left out; the last two are reported.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from upscale_cli.media.video.container import Container
from upscale_cli.media.video.streams import UNKNOWN, Clip, OtherStream, VideoStream

_TEXT: Final = (
    *("subrip", "ass", "ssa", "mov_text", "webvtt", "text", "eia_608", "microdvd", "jacosub", "sami", "realtext"),
    *("stl", "subviewer", "subviewer1", "mpl2", "pjs", "vplayer"),
)
"""Subtitles made of text, which ffmpeg can turn into each other; the others are pictures."""

_LOSSLESS_AUDIO: Final = ("flac", "alac", "tta", "wavpack", "tak", "ape", "truehd", "mlp", "wmalossless", "shorten")
_CREATION_TIME: Final = "creation_time"

_PICTURES: Final = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}
STALE_TAGS: Final = {
    *("BPS", "DURATION", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "ENCODER", "_STATISTICS_TAGS"),
    *("_STATISTICS_WRITING_APP", "_STATISTICS_WRITING_DATE_UTC", "SOURCE_ID", "ENCODER_OPTIONS", "ENCODING_SETTINGS"),
}
"""Tags of Matroska and of encoders that speak of the stream as it was before it was upscaled."""


TextEncoding = Literal["utf-8", "windows-1252", "unknown"]


@dataclass(frozen=True, slots=True)
class Slot:
    """A stream of the output.

    Attributes:
        index: of the source's stream, among all of them.
        action: "upscale", "copy", "attach" (cover art that goes in as a file), or the encoder that converts it.
        encoding: of text that is converted; None where it is none.
    """

    index: int
    action: Literal["upscale", "copy", "attach"] | str
    encoding: TextEncoding | None = None


def carry(clip: Clip, upscaled: tuple[int, ...], container: Container) -> tuple[tuple[Slot, ...], tuple[str, ...]]:
    """What becomes of each stream of a clip.

    Args:
        clip: the source.
        upscaled: indices of the video streams that are upscaled.
        container: of the output.

    Returns:
        The output's streams in the source's order, what is attached last; and a line for all that is converted or
        left out.
    """
    slots: list[Slot] = []
    notes: list[str] = []
    kinds: set[str] = set()
    action: str | None
    for stream in _streams(clip):
        kind = _kind(stream)
        if stream.index in upscaled:
            action, note = "upscale", None
        elif not container.several and (kind in kinds or (kind == "video" and upscaled)):
            action, note = None, f"left out: {container.name} holds one of a kind"
        elif kind == "video" and upscaled and not container.several_videos:
            action, note = None, f"left out: {container.name} holds one video stream"
        else:
            action, note = _fate(clip, stream, container)
        if action is not None:
            slots.append(Slot(stream.index, action))
            kinds.add(kind)
        if note is not None:
            notes.append(f"stream {stream.index} ({kind}, {_called(stream)}) is {note}")
    if clip.chapters and not container.chapters:
        notes.append(f"{clip.chapters} chapters are left out: {container.name} holds none")
    slots.sort(key=lambda slot: slot.action == "attach")
    return tuple(slots), tuple(notes)


def _streams(clip: Clip) -> list[VideoStream | OtherStream]:
    """All streams, in the order of the file."""
    streams: list[VideoStream | OtherStream] = [*clip.video, *clip.others]
    return sorted(streams, key=lambda stream: stream.index)


def _kind(stream: VideoStream | OtherStream) -> str:
    if isinstance(stream, VideoStream):
        return "video"
    return {"picture": "cover art"}.get(stream.kind, stream.kind)


def _called(stream: VideoStream | OtherStream) -> str:
    """What a coding is called: by ffmpeg, else by the container."""
    tag = "" if isinstance(stream, VideoStream) else stream.tag
    return tag if tag and stream.codec == UNKNOWN else stream.codec


def _fate(clip: Clip, stream: VideoStream | OtherStream, container: Container) -> tuple[str | None, str | None]:
    """What is done to a stream that is not upscaled (None: left out), and what to say of it (None: nothing)."""
    if isinstance(stream, VideoStream):
        return _copied_or_not(stream.codec in container.video, container)
    if stream.codec == UNKNOWN and stream.kind != "data":
        held = bool(stream.tag) and clip.format in _WHOLE_BY_TAG and stream.kind in container.by_tag
        return ("copy", None) if held else (None, "left out: its coding is not known to ffmpeg")
    match stream.kind:
        case "picture":
            held = container.pictures is not None and stream.codec in _PICTURES
            if held and container.pictures == "file":
                return "attach", None
        case "attachment":
            held = container.attachments
        case "data":
            if stream.tag == "tmcd" or (stream.tag == "text" and clip.chapters):
                # QuickTime's tracks of time code and of chapter names, made anew from the tags and the chapters.
                return None, None
            held = stream.codec in container.data or stream.tag in container.data
        case "video":
            held = stream.is_described and stream.codec in container.video
        case "audio":
            return _fate_of_audio(stream, container)
        case "subtitle":
            return _fate_of_subtitle(stream, container)
    return _copied_or_not(held, container)


def _copied_or_not(held: bool, container: Container) -> tuple[str | None, str | None]:
    return ("copy", None) if held else (None, f"left out: {container.name} cannot hold it")


_WHOLE_BY_TAG: Final = ("avi", "asf", "matroska,webm", "nut")
"""Demuxers of containers that say by a tag of four bytes, and by data that follows it, what a coding is. QuickTime and
MP4 have boxes for that besides, which libavformat drops for a coding that it does not know."""


def _fate_of_audio(stream: OtherStream, container: Container) -> tuple[str | None, str | None]:
    if not stream.is_described:  # no muxer takes it then
        return None, "left out: nothing in it says its rate and channels"
    if stream.codec in container.audio_codecs:
        return "copy", None
    if not stream.has_decoder or not container.audio:
        return _copied_or_not(False, container)
    lossless = stream.codec in _LOSSLESS_AUDIO or stream.codec.startswith("pcm_")
    encoder = container.lossless_audio if lossless and container.lossless_audio else container.audio
    return encoder, f"converted to {encoder.removeprefix('lib')}: {container.name} cannot hold it as it is"


def _fate_of_subtitle(stream: OtherStream, container: Container) -> tuple[str | None, str | None]:
    if stream.codec in container.subtitles:
        return "copy", None
    encoder = container.text_subtitles
    if stream.codec in _TEXT and encoder is not None:
        return encoder, f"converted to {encoder}: {container.name} cannot hold it as it is"
    return _copied_or_not(False, container)


def upscaled_outputs(slots: tuple[Slot, ...]) -> list[int]:
    """Where in the output the upscaled streams are: the K of -c:K, -b:K and so on."""
    return [position for position, slot in enumerate(slots) if slot.action == "upscale"]


def slot_arguments(
    slots: tuple[Slot, ...],
    clip: Clip,
    *,
    video_input: int = 0,
    other_input: int = 1,
    attached: Mapping[int, str] | None = None,
) -> list[str]:
    """ffmpeg's output options that carry everything but the encoding of the upscaled streams.

    Args:
        slots: of `carry`.
        clip: the source.
        video_input: number of the input that brings the upscaled streams, in the order of their slots.
        other_input: number of the input that is the source itself.
        attached: where the cover art lies that goes in as a file (`opening.pictures`), by index of its stream; what is
            missing is copied as a stream.
    """
    arguments = ["-copy_unknown", "-map_metadata", str(other_input), "-map_chapters", str(other_input)]
    arguments += _retold(clip, "file", 0, "") + _creation_time(clip)
    streams = {stream.index: stream for stream in _streams(clip)}
    upscaled = 0
    for position, slot in enumerate(slots):
        stream = streams[slot.index]
        if slot.action == "attach" and attached and slot.index in attached:
            arguments += _attach(position, stream, attached[slot.index])
        elif slot.action == "upscale":
            arguments += ["-map", f"{video_input}:{upscaled}", *_tags(position, clip, stream, other_input)]
            arguments += _without_stale(position, stream)
            upscaled += 1
        elif slot.action in ("copy", "attach"):
            arguments += ["-map", f"{other_input}:{slot.index}", f"-c:{position}", "copy"]
            arguments += _tags(position, clip, stream, other_input)
        else:
            arguments += ["-map", f"{other_input}:{slot.index}", *_conversion(position, slot.action)]
            arguments += [*_tags(position, clip, stream, other_input), *_without_stale(position, stream)]
    return arguments


def _attach(position: int, stream: VideoStream | OtherStream, path: str) -> list[str]:
    name, mimetype = _PICTURES[stream.codec]
    name = stream.metadata.get("filename", name)
    return [
        *("-attach", f"file:{path}", f"-metadata:s:{position}", f"filename={name}"),
        *(f"-metadata:s:{position}", f"mimetype={mimetype}"),
    ]


def chapter_arguments(clip: Clip) -> list[str]:
    """The titles of chapters that are not UTF-8; only where all chapters come, for the output's are counted."""
    numbers = sorted({repair.index for repair in clip.tag_repairs if repair.place == "chapter"})
    return [argument for number in numbers for argument in _retold(clip, "chapter", number, f":c:{number}")]


def _retold(clip: Clip, place: str, index: int, where: str) -> list[str]:
    """Tags that are not UTF-8, as text: over the bytes that ffmpeg copies."""
    return [
        part
        for repair in clip.tag_repairs
        if repair.place == place and repair.index == index and repair.text is not None
        for part in (f"-metadata{where}", f"{repair.key}={repair.text}")
    ]


def _creation_time(clip: Clip) -> list[str]:
    """The time of recording, once.

    QuickTime has two places for it. Where both hold it, ffmpeg 9 reads "A;B", of which its muxer makes the year 1904.
    """
    times = clip.metadata.get(_CREATION_TIME, "").split(";")
    return ["-metadata", f"{_CREATION_TIME}={times[0]}"] if times[0] else []


def tag_notes(clip: Clip) -> Iterator[str]:
    """A line about tags that are not UTF-8; one for those that can be read, one for the others."""
    for read, what in ((True, "read as Windows-1252 and written as UTF-8"), (False, "their bytes are kept")):
        names = dict.fromkeys(repair.key for repair in clip.tag_repairs if (repair.text is not None) == read)
        if names:
            yield f"tags that are not UTF-8 ({', '.join(names)}): {what}"


def _tags(position: int, clip: Clip, stream: VideoStream | OtherStream, other_input: int) -> list[str]:
    """A stream's metadata and disposition. Naming one stream's switches off the copying of all, so each is named."""
    arguments = [f"-map_metadata:s:{position}", f"{other_input}:s:{stream.index}"]
    arguments += _retold(clip, "stream", stream.index, f":s:{position}")
    arguments += [f"-disposition:{position}", "+".join(stream.disposition) or "0"]
    unread = any(
        repair.place == "stream" and repair.index == stream.index for repair in clip.tag_repairs if not repair.text
    )
    if "name" in stream.metadata and "title" not in stream.metadata and not unread:
        # what MP4's demuxer calls it, and its muxer not
        arguments += [f"-metadata:s:{position}", f"title={stream.metadata['name']}"]
    return arguments


def _without_stale(position: int, stream: VideoStream | OtherStream) -> list[str]:
    """Clears the tags that are no longer true once a stream is encoded anew."""
    return [part for tag in _stale(stream.metadata) for part in (f"-metadata:s:{position}", f"{tag}=")]


def _conversion(position: int, encoder: str) -> list[str]:
    arguments = [f"-c:{position}", encoder]
    if encoder in ("aac", "libopus"):
        arguments += [f"-b:{position}", "256k"]
    if encoder == "libopus":  # it knows 5.1 with speakers behind the listener, not at the sides
        arguments += [f"-filter:{position}", "aformat=channel_layouts=7.1|6.1|5.1|5.0|quad|3.0|stereo|mono"]
    return arguments


def _stale(metadata: dict[str, str]) -> Iterator[str]:
    """Tags that are no longer true of a stream that was encoded anew; Matroska's may end in a language."""
    return (tag for tag in metadata if tag.upper().split("-")[0] in STALE_TAGS)
