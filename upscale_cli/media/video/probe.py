"""What is in a clip: opens it, looks at its first frames, and answers with a `streams.Clip`."""

import os
import re
import stat
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Literal

import av
from av.container import InputContainer

from upscale_cli.errors import InputError
from upscale_cli.media.image.formats import MAX_PIXELS
from upscale_cli.media.video.described import Description, coding_of, description_of
from upscale_cli.media.video.first_frames import Seen, first_frames_of, tags_of
from upscale_cli.media.video.opening import STDIN, Readable, is_untimed, open_clip
from upscale_cli.media.video.streams import FILE, Clip, OtherStream, VideoStream, path_in
from upscale_cli.media.video.text_tags import repairs, tags
from upscale_cli.messages import option

_INTERLACED: Final = (2, 3, 4, 5)
"""AVFieldOrder: TT, BB, TB, BT."""

_CLOCK: Final = 10
"""An average rate this many times the guessed one is no rate of frames."""


def probe(path: str | os.PathLike[str] | Readable, *, max_pixels: int = MAX_PIXELS, name: str | None = None) -> Clip:
    """Find out what is in a clip; decodes at most its first few frames.

    Args:
        path: of the file; or what gives the first bytes of a source that can be read once only.
        max_pixels: how large a frame may be, in pixels; checked before one is decoded.
        name: for messages; None: the file's own.

    Raises:
        InputError: missing, empty, not a clip, without a video stream, without a picture that decodes, too large.
    """
    source, own_name = _source(path)
    name = name or own_name
    try:
        with open_clip(source, max_pixels=max_pixels) as container:
            return _clip(container, source if isinstance(source, str) else STDIN, name, max_pixels)
    except (av.FFmpegError, OSError, ValueError, OverflowError, IndexError) as error:
        raise InputError(_refusal(name, error)) from error


def _source(path: str | os.PathLike[str] | Readable) -> tuple[str | Readable, str]:
    """What to open, and what to call it in messages.

    Raises:
        InputError: there is no such file, or it is none.
    """
    if not isinstance(path, str | os.PathLike):
        return path, "standard input"
    given = os.fspath(path)
    name = Path(given).name or given
    if "\0" in given or not os.path.lexists(given):
        raise InputError(f"{name}: there is no such file. Check the path.")
    try:
        status = Path(given).stat()
    except OSError as error:
        raise InputError(f"{name}: the file cannot be read ({error.strerror}). Check the path.") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{name}: this is a folder. Name a clip in it.")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(
            f"{name}: this is no regular file. Pass its bytes on standard input (-), or use {option('live', True)}."
        )
    if status.st_size == 0:
        raise InputError(f"{name}: the file is empty. Check where it was copied or downloaded from.")
    return f"{FILE}{given}", name


def _refusal(name: str, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return f"{name}: the file cannot be read ({_reason(error)}). Check its permissions."
    return (
        f"{name}: this is no clip that can be read ({_reason(error)}). "
        "Scripts and playlists are not followed; give the media file itself, or remux it with ffmpeg."
    )


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).split("\n", 1)[0].rstrip(". ").lower() or "damaged"


# Facts


def _clip(container: InputContainer, source: str, name: str, max_pixels: int) -> Clip:
    videos = _video_streams(container, name)
    for stream in videos:
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > max_pixels:
            raise InputError(
                f"{name}: frames of {width} x {height} pixels are larger than the {max_pixels:,} pixels allowed. "
                f"Raise {option('max_pixels')} if you trust the file."
            )
    main = _main(container, videos)
    described = description_of(container)
    seen = first_frames_of(container, videos)
    if not seen[main].frames:
        why = "it is encrypted" if seen[main].encrypted else "it is damaged, or of an unknown kind"
        raise InputError(
            f"{name}: no picture of its video stream ({videos[0].codec_context.codec.canonical_name}) decodes; {why}. "
            "Check the file in a player."
        )
    facts = tuple(_video(container, stream, seen[stream.index], described) for stream in videos)
    untimed = is_untimed(container)
    seconds = [stream.seconds for stream in facts if stream.seconds is not None]
    if container.duration is not None and not untimed:
        seconds.append(container.duration / av.time_base)
    path = path_in(source)
    return Clip(
        source=source,
        name=name,
        format=container.format.name,
        video=facts,
        main=main,
        others=tuple(_other(stream, described) for stream in container.streams if stream not in videos),
        seconds=max(seconds, default=None),
        start_seconds=(container.start_time or 0) / av.time_base,
        chapters=len(container.chapters()),
        metadata=tags(container.metadata),
        tag_repairs=tuple(repairs(container)),
        programs=described.programs,
        file_bytes=None if path is None else path.stat().st_size,
        seekable=path is not None and not untimed and _has_index(container, main),
    )


def _video_streams(container: InputContainer, name: str) -> list[Any]:
    """The video streams that can be upscaled.

    Raises:
        InputError: there is no video stream, or none that this ffmpeg has a decoder for.
    """
    videos: list[Any] = [stream for stream in container.streams if _is_moving(stream) and stream.codec_context]
    videos = [stream for stream in videos if stream.codec_context.width and stream.codec_context.height] or videos
    if not videos:
        unknown = [getattr(stream, "name", None) or "unknown" for stream in container.streams if _is_moving(stream)]
        if unknown:
            raise InputError(f"{name}: there is no decoder for its video ({unknown[0]}). Convert the clip first.")
        kinds = ", ".join(sorted({str(stream.type) for stream in container.streams}))
        rest = f"video stream in it, only {kinds}" if kinds else "stream in it, neither video nor sound"
        raise InputError(f"{name}: there is no {rest}. Name a clip with pictures.")
    return videos


def _is_moving(stream: Any) -> bool:
    return bool(stream.type == "video") and not stream.disposition & av.stream.Disposition.attached_pic


def _other(stream: Any, described: Description) -> OtherStream:
    kind: Literal["audio", "subtitle", "data", "attachment", "picture", "video"] = "data"
    if stream.type in ("audio", "subtitle", "attachment"):
        kind = stream.type
    elif stream.type == "video":
        kind = "video" if _is_moving(stream) else "picture"
    return OtherStream(
        index=stream.index,
        kind=kind,
        codec=coding_of(stream, described),
        tag=described.tag(stream.index),
        has_decoder=stream.codec_context is not None,
        is_described=kind not in ("audio", "video") or _is_described(stream, described),
        disposition=_dispositions(stream),
        metadata=tags(stream.metadata),
    )


def _is_described(stream: Any, described: Description) -> bool:
    """Whether a sound's rate, a video's size are known; of what is announced and never comes they are not."""
    if stream.codec_context is None or stream.type == "video":
        return bool(re.search(r", [1-9]\d* Hz|, [1-9]\d*x[1-9]\d*", described.heading(stream.index)))
    return bool(stream.codec_context.sample_rate and stream.codec_context.layout.nb_channels)


def _dispositions(stream: Any) -> tuple[str, ...]:
    return tuple(flag.name for flag in av.stream.Disposition if flag & stream.disposition and flag.name)


def _main(container: InputContainer, videos: list[Any]) -> int:
    """The stream a player shows: the first that is flagged as default, else the one that libavformat thinks best."""
    for stream in videos:
        if stream.disposition & av.stream.Disposition.default:
            return int(stream.index)
    best = container.streams.best("video")
    return int(best.index) if best is not None and best in videos else int(videos[0].index)


def _video(container: InputContainer, stream: Any, seen: Seen, described: Description) -> VideoStream:
    context, dump = stream.codec_context, described.of(stream.index)
    codec = coding_of(stream, described)
    pixel_format = seen.pixel_format or context.pix_fmt or "yuv420p"
    alpha_decoder = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(codec) if seen.alpha else None
    if alpha_decoder and pixel_format == "yuv420p":
        pixel_format = "yuva420p"
    else:
        alpha_decoder = None
    untimed = is_untimed(container)
    metadata = tags(stream.metadata)
    # The context may have seen a later size already.
    width, height = seen.width or context.width, seen.height or context.height
    crop = described.crop(stream.index)
    if crop is not None and (crop.left + crop.right >= width or crop.top + crop.bottom >= height):
        crop = None  # nothing would be left
    if crop is not None:
        width, height = width - crop.left - crop.right, height - crop.top - crop.bottom
    dynamic = seen.dynamic_hdr | ({"Dolby Vision"} if "DOVI configuration record" in dump else set())
    rate = _rate(stream, untimed)
    return VideoStream(
        index=stream.index,
        codec=codec,
        width=width,
        height=height,
        crop=crop,
        pixel_format=pixel_format,
        time_base=stream.time_base or Fraction(1, av.time_base),
        start=stream.start_time,
        rate=rate,
        frames=_frames(stream, metadata, None if untimed else _seconds(stream, metadata)),
        seconds=None if untimed else _seconds(stream, metadata),
        sar=stream.sample_aspect_ratio or Fraction(1),
        tags=tags_of(seen, context, pixel_format, dump),
        orientation=seen.orientation,
        spatial=seen.spatial,
        mastering=seen.mastering,
        light=seen.light,
        dynamic_hdr=tuple(sorted(dynamic)),
        dolby_vision_profile=_dolby_vision_profile(dump),
        captions=seen.captions,
        interlaced=seen.interlaced or context.field_order in _INTERLACED,
        alpha_decoder=alpha_decoder,
        lossless=seen.lossless or (context.codec.lossless and not context.codec.lossy),
        x264_build=seen.x264_build,
        bits_per_pixel=_bits_per_second(container, stream, metadata) / (width * height * float(rate)) or None,
        untimed=untimed,
        disposition=_dispositions(stream),
        metadata=metadata,
    )


def _dolby_vision_profile(dump: str) -> int | None:
    found = re.search(r"DOVI configuration record: .*?profile: (\d+)", dump)
    return int(found[1]) if found else None


def _rate(stream: Any, untimed: bool) -> Fraction:
    """Frames per second. A raw stream's average is only the demuxer's default; its own guess reads the bitstream."""
    guesses = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    skipped = untimed or _is_clock(stream)
    return next((Fraction(rate) for rate in (guesses[1:] if skipped else guesses) if rate), Fraction(25))


def _is_clock(stream: Any) -> bool:
    """Whether what is called the average rate is that of the timestamps' clock: DV has 60,000 ticks a second."""
    average, guessed = stream.average_rate, stream.guessed_rate
    return bool(average and guessed and average * stream.time_base == 1 and average > _CLOCK * guessed)


def _bits_per_second(container: InputContainer, stream: Any, metadata: dict[str, str]) -> float:
    """Of a video stream, by the container or by a tag of Matroska; else what the other streams leave of all, where
    there is no other video stream. 0 where unknown."""
    stated = _tag(metadata, "BPS") or ""
    if stream.codec_context.bit_rate or re.fullmatch(r"[0-9]{1,12}", stated):
        return float(stream.codec_context.bit_rate or stated)
    others = [other for other in container.streams if other is not stream]
    if any(other.type == "video" for other in others) or not container.bit_rate:
        return 0.0
    sounds: list[Any] = [other for other in others if other.type == "audio" and other.codec_context]
    taken = sum(int(sound.codec_context.bit_rate or 0) for sound in sounds)
    return float(max(0, container.bit_rate - taken))


def _tag(metadata: dict[str, str], name: str) -> str | None:
    """A Matroska statistics tag, whose name may end in a language ("DURATION-eng")."""
    return next((value for key, value in metadata.items() if key.upper().split("-")[0] == name), None)


def _count(metadata: dict[str, str]) -> int | None:
    count = _tag(metadata, "NUMBER_OF_FRAMES") or ""
    return int(count) if re.fullmatch(r"[0-9]{1,15}", count) and int(count) else None


def _frames(stream: Any, metadata: dict[str, str], seconds: float | None) -> int | None:
    """How many frames there are, by the container or a tag; None where that contradicts how long they last (DV)."""
    count: int | None = stream.frames or _count(metadata)
    if count and seconds and stream.average_rate and not 0.5 < count / (seconds * stream.average_rate) < 2:
        return None
    return count


def _seconds(stream: Any, metadata: dict[str, str]) -> float | None:
    """How long a stream lasts, by the container or by Matroska's DURATION ("00:00:02.043000000")."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", _tag(metadata, "DURATION") or "", re.ASCII)
    if not found:
        return None
    hours, minutes, seconds = found.groups()
    total = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    start = float((stream.start_time or 0) * (stream.time_base or 0))
    return (total - start if start > total / 2 else total) or None  # some muxers write when it ends instead


def _has_index(container: InputContainer, main: int) -> bool:
    """Whether seeking goes by an index. Matroska's is read when first sought, so that happens here."""
    stream: Any = container.streams[main]
    if "matroska" in container.format.name and container.duration:
        try:
            container.seek(container.duration // 2)
        except (av.FFmpegError, ValueError):
            return False
    return container.format.name not in ("mpegts", "mpeg") and len(stream.index_entries) > 0
