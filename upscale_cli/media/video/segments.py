"""A clip encoded in segments, so that a killed run can go on; and their join, which encodes nothing again.

    frames  ->  segment 0, 1, 2, ... (each a fresh encoder)  ->  journal  ->  join (packets are copied)  ->  output

A segment counts once its line is in the journal and on the disk: after its encoder has ended with code 0, and its file
was read back and holds the right number of frames. Its name has a random part, so that an encoder which
outlives a killed run never writes into a file that the next run uses. One run makes the segments in turn
(`SegmentWriter`), or many workers make them at once and in no order (`jobs/video_segments.py`).
"""

import json
import math
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import count, pairwise
from pathlib import Path
from typing import Any, Final

import av

from upscale_cli.errors import OutputError
from upscale_cli.files.work_folder import JOINED, JOURNAL_FILE, SEGMENT, claim, replace_text, synced
from upscale_cli.frames.video import VideoFrame
from upscale_cli.media.video.container import CONTAINERS
from upscale_cli.media.video.encoding import Encoder
from upscale_cli.media.video.ffmpeg.binary import FFmpeg
from upscale_cli.media.video.ffmpeg.closing import Closing
from upscale_cli.media.video.frame_metadata import NOTHING, FrameMetadataReader
from upscale_cli.media.video.opening import open_clip
from upscale_cli.media.video.packet_metadata import with_metadata
from upscale_cli.media.video.writer import VideoWriter
from upscale_cli.media.video.writer_arguments import Track
from upscale_cli.messages import option

SEGMENT_SECONDS: Final = 5
"""Of clip in a segment: what a kill can cost, and how often the encoder has to begin anew."""


def segment_length(rate: Fraction) -> int:
    """Frames in a segment, by frames per second alone: segments begin at the same frames in every run."""
    return min(600, max(24, round(rate * SEGMENT_SECONDS)))


@dataclass(frozen=True, slots=True)
class Segment:
    """One line of the journal.

    Attributes:
        number: from 0.
        file: in the work folder; `size` in bytes.
        pts: of its frames in presentation order, in ticks of the track.
        delay: by how many frames its packets are out of that order at most.
        repeats: frames that repeat another in place of a lost one.
    """

    number: int
    file: str
    size: int
    pts: tuple[int, ...]
    delay: int
    repeats: int = 0


class Journal:
    """What a work folder records: the job, the finished segments, and whether they are all.

    Whatever cannot be trusted is forgotten, and done again: without a record of the job, everything; else the segments
    from the first one that is torn, missing or of another size than was recorded. Stray files go.

    Args:
        job: what makes a job this job, each under the name that the user knows.
        check: raises where the source is no longer what the job was begun with: then nothing is recorded.

    Raises:
        OptionError: the folder is of another job.
        OSError: it cannot be written.
    """

    def __init__(self, folder: Path, job: Mapping[str, object], check: Callable[[], None] = lambda: None) -> None:
        self._folder, self._path, self._check = folder, folder / JOURNAL_FILE, check
        self._recorded: dict[int, Segment] = {}
        self.is_complete = False
        self.damage = ""
        claim(folder, job)
        self._read()
        self._tidy()

    @property
    def segments(self) -> list[Segment]:
        """Those before the first that is missing, in order."""
        return list(map(self._recorded.__getitem__, range(self._first_missing)))

    @property
    def recorded(self) -> Mapping[int, Segment]:
        """All that are done, by number."""
        return self._recorded

    @property
    def frames(self) -> int:
        """How many are done."""
        return sum(len(segment.pts) for segment in self._recorded.values())

    @property
    def repeats(self) -> int:
        """How many of them repeat another in place of a lost one."""
        return sum(segment.repeats for segment in self._recorded.values())

    @property
    def last_pts(self) -> int | None:
        """Of the frame before the first that is missing."""
        return self._recorded[self._first_missing - 1].pts[-1] if self._first_missing else None

    @property
    def _first_missing(self) -> int:
        return next(number for number in count() if number not in self._recorded)

    def add(self, segment: Segment) -> None:
        """Records a segment; it is on the disk when this returns."""
        self._check()
        self._append(asdict(segment))
        self._recorded[segment.number] = segment

    def forget_beyond_gaps(self) -> None:
        """Where segments are made in turn: forgets those behind the first that is missing."""
        kept = self.segments
        if len(kept) < len(self._recorded):
            replace_text(self._path, "".join(_line(asdict(segment)) for segment in kept))
            self._recorded = dict(enumerate(kept))
            self._tidy()

    def complete(self, damage: str) -> None:
        """Records that no frame is left, and what was wrong with the source ("" for nothing)."""
        self._check()
        self._append({"complete": True, "damage": damage})
        self.is_complete, self.damage = True, damage

    def _read(self) -> None:
        text = self._path.read_bytes().decode("utf-8", "replace") if self._path.exists() else ""
        whole = []
        for line in text.splitlines():
            try:
                self._take(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError):
                break
            whole.append(f"{line}\n")
            if self.is_complete:
                break
        if "".join(whole) != text:
            replace_text(self._path, "".join(whole))

    def _take(self, record: Any) -> None:
        """One line of the journal; raises any error that a torn one leads to."""
        if record.get("complete"):
            if len(self._recorded) != self._first_missing:
                raise ValueError("a segment is missing")
            self.is_complete, self.damage = True, str(record["damage"])
            return
        segment = Segment(**{**record, "pts": tuple(record["pts"])})
        if (
            Path(segment.file).name != segment.file
        ):  # a journal may come from anywhere: nothing outside of the folder is read
            raise ValueError(f"{segment.file} is no file of ours")
        file = self._folder / segment.file
        if segment.number in self._recorded or not file.is_file() or file.stat().st_size != segment.size:
            raise ValueError(f"segment {segment.number} is not what was recorded")
        self._recorded[segment.number] = segment

    def _tidy(self) -> None:
        """Takes away what killed runs have left: segments that were never recorded, and halves of the join."""
        kept = {segment.file for segment in self._recorded.values()}
        for file in (*self._folder.glob(f"{SEGMENT}*"), *self._folder.glob(f"{JOINED}*")):
            if file.name not in kept:
                with suppress(OSError):  # an encoder that outlived its run may still hold it
                    file.unlink()

    def _append(self, record: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(_line(record))
            stream.flush()
            os.fsync(stream.fileno())


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"


class SegmentEncoder(Closing):
    """One segment on its way into its file, which goes again unless `finish` has seen that it is whole.

    Args:
        folder: where it comes to lie.
        name: of the output, for messages.
        track: how it is encoded.

    Attributes:
        frames: how many it was given.
        seconds: how long we have been waiting for the encoder.
    """

    def __init__(self, folder: Path, number: int, name: str, track: Track, ffmpeg: FFmpeg) -> None:
        self._number, self._name = number, name
        self._file = folder / f"{SEGMENT}{number:05d}-{secrets.token_hex(4)}.mkv"
        self._writer = VideoWriter(self._file, name, [track], CONTAINERS["Matroska"], ffmpeg, is_part=True)
        self._pts: list[int] = []
        self._repeats = 0
        self._shortest = math.ceil(Fraction(1, 1000) / track.time_base)
        self._told = 0
        self._is_whole = False

    @property
    def frames(self) -> int:
        return len(self._pts)

    @property
    def seconds(self) -> float:
        return self._writer.seconds

    def write(self, frame: VideoFrame) -> None:
        """Takes one frame.

        The encoder gets times that are 1 ms apart at least, Matroska's tick: they need only give the order, for
        the join gives every packet the time that is recorded.

        Raises:
            OutputError: the encoder fails.
        """
        self._told = max(frame.pts, self._told + self._shortest) if self._pts else frame.pts
        self._writer.write(0, frame.samples, self._told)
        self._pts.append(frame.pts)
        self._repeats += frame.is_repeat

    def finish(self) -> Segment:
        """Closes the file, waits until it is on the disk, and reads it back.

        Raises:
            OutputError: the encoder fails, or has lost a frame.
        """
        self._writer.finish()
        synced(self._file)
        delay = _delay(self._file, len(self._pts), self._name)
        self._is_whole = True
        size = self._file.stat().st_size
        return Segment(self._number, self._file.name, size, tuple(self._pts), delay, self._repeats)

    def close(self) -> None:
        """Ends the encoder."""
        self._writer.close()
        if not self._is_whole:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)


class SegmentWriter(Closing):
    """Writes frames as segments, in turn. A segment is closed and read back while the next one is being encoded.

    Args:
        folder: the work folder.
        name: of the output, for messages.
        track: how frames are encoded; its encoder begins every run with a closed group.
        journal: where finished segments are recorded.

    Attributes:
        seconds: how long we have been waiting for the encoders.
    """

    def __init__(self, folder: Path, name: str, track: Track, journal: Journal, ffmpeg: FFmpeg) -> None:
        self._folder, self._name, self._track, self._ffmpeg = folder, name, track, ffmpeg
        self._journal = journal
        self._length = segment_length(track.rate)
        self._next = len(journal.segments)
        self._encoder: SegmentEncoder | None = None
        self._closer = ThreadPoolExecutor(1, "segment")
        self._closing: Future[None] | None = None
        self.seconds = 0.0

    def write(self, frame: VideoFrame) -> None:
        """Takes one frame.

        Raises:
            OutputError: an encoder fails.
        """
        if self._encoder is None:
            self._encoder = SegmentEncoder(self._folder, self._next, self._name, self._track, self._ffmpeg)
        before = self._encoder.seconds
        self._encoder.write(frame)
        self.seconds += self._encoder.seconds - before
        if self._encoder.frames == self._length:
            self._close_in_background(self._encoder)

    def finish(self) -> None:
        """Closes the last segment; all are recorded when this returns."""
        if self._encoder is not None:
            self._close_in_background(self._encoder)
        self._wait()

    def close(self) -> None:
        """Ends what is in progress; finished segments stay."""
        if self._encoder is not None:
            self._encoder.close()
        self._closer.shutdown(wait=True)

    def _close_in_background(self, encoder: SegmentEncoder) -> None:
        """Lets the segment in progress be closed in the background, one at a time."""
        self._wait()
        self._closing = self._closer.submit(self._record, encoder)
        self._encoder = None
        self._next += 1

    def _wait(self) -> None:
        if self._closing is not None:
            self._closing.result()
            self._closing = None

    def _record(self, encoder: SegmentEncoder) -> None:
        with encoder:
            self._journal.add(encoder.finish())


def join(
    folder: Path,
    segments: Sequence[Segment],
    writer: VideoWriter,
    encoder: Encoder,
    metadata: FrameMetadataReader | None = None,
) -> None:
    """Copies the packets of all segments into one stream, each with the timestamp that was recorded for it, and with
    the metadata of its frame.

    Decoding timestamps are made anew from all presentation timestamps: those of a segment's own beginning would
    reach back into the segment before.

    Raises:
        OutputError: a segment does not hold what the journal records, or ffmpeg fails.
    """
    dts = decoding_times(segments)
    steps = [later - earlier for earlier, later in pairwise(dts)]
    steps.append(steps[-1] if steps else 0)
    done = 0
    for segment in segments:
        ranks = _checked_ranks(folder / segment.file, len(segment.pts), writer.name)
        carried = [NOTHING if metadata is None else metadata.take(pts) for pts in segment.pts]
        with open_clip(f"file:{folder / segment.file}") as source:
            stream = source.streams.video[0]
            writer.take_shape(stream)
            packets = (packet for packet in source.demux(stream) if packet.size)
            for number, (packet, rank) in enumerate(zip(packets, ranks, strict=True)):
                annotated = with_metadata(packet, carried[rank], encoder)
                writer.copy(annotated, segment.pts[rank], dts[done + number], steps[done + number])
        done += len(segment.pts)


def decoding_times(segments: Sequence[Segment]) -> list[int]:
    """When each packet of the join is decoded, in ticks: rising, and never after it is shown.

    As encoders do it: the packet in place n is decoded when frame n - delay is shown, and the first ones before any,
    as much earlier as the frame in place `delay` is shown later than the first.
    """
    pts = [time for segment in segments for time in segment.pts]
    delay = min(max(segment.delay for segment in segments), len(pts) - 1)
    lead = pts[delay] - pts[0]
    return [time - lead for time in pts[:delay]] + pts[: len(pts) - delay]


def _times(file: Path) -> list[int]:
    """Presentation timestamps of all packets, in the order they are stored."""
    with open_clip(f"file:{file}") as container:
        stream = container.streams.video[0]
        return [packet.pts for packet in container.demux(stream) if packet.size and packet.pts is not None]


def _ranks(times: Sequence[int]) -> list[int]:
    """For each packet, which frame it is in presentation order."""
    ranks = [0] * len(times)
    for rank, number in enumerate(sorted(range(len(times)), key=lambda number: times[number])):
        ranks[number] = rank
    return ranks


def _delay(file: Path, frames: int, name: str) -> int:
    """Reads a segment back: by how many places its packets come before their turn."""
    return max(number - rank for number, rank in enumerate(_checked_ranks(file, frames, name)))


def _checked_ranks(file: Path, frames: int, name: str) -> list[int]:
    """See `_ranks`.

    Raises:
        OutputError: the segment does not hold as many frames as went in, or cannot be read.
    """
    try:
        ranks = _ranks(_times(file))
    except (av.error.FFmpegError, IndexError) as error:
        raise OutputError(f"{name}: {file} cannot be read back. Remove the folder, and begin again.") from error
    if len(ranks) != frames:
        raise OutputError(
            f"{name}: {frames} frames went into {file}, {len(ranks)} are in it. Choose another {option('codec')}."
        )
    return ranks
