"""A clip encoded in stretches, so that a killed run can go on; and their join, which encodes nothing again.

    frames  ->  stretch 0, 1, 2, ... (each a fresh encoder)  ->  journal  ->  join (packets are copied)  ->  output

A stretch counts once its line is in the journal and on the disk: after its encoder has ended with code 0, and its file
was read back and holds the right number of frames. Its name has a part drawn by lot, so that an encoder which
outlives a killed run never writes into a file that the next run uses.
"""

import json
import math
import os
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import av

from upscale_cli.errors import OutputError
from upscale_cli.media.video.binary import FFmpeg
from upscale_cli.media.video.closing import Closing
from upscale_cli.media.video.container import CONTAINERS
from upscale_cli.media.video.frame import VideoFrame
from upscale_cli.media.video.probe import open_clip
from upscale_cli.media.video.work import JOINED, JOURNAL_FILE, STRETCH, claim, replace_text, synced
from upscale_cli.media.video.writer import Track, VideoWriter

STRETCH_SECONDS: Final = 5
"""Of clip in a stretch: what a kill can cost, and how often the encoder has to begin anew."""


def stretch_length(rate: Fraction) -> int:
    """Frames in a stretch, by frames per second alone: stretches begin at the same frames in every run."""
    return min(600, max(24, round(rate * STRETCH_SECONDS)))


@dataclass(frozen=True, slots=True)
class Stretch:
    """One line of the journal.

    Attributes:
        number: from 0.
        file: in the work folder; `size` in bytes.
        pts: of its frames in presentation order, in ticks of the track.
        delay: by how many frames its packets are out of that order at most.
        repeats: frames that stand in for lost ones.
    """

    number: int
    file: str
    size: int
    pts: tuple[int, ...]
    delay: int
    repeats: int = 0


class Journal:
    """What a work folder records: the job, the finished stretches, and whether they are all.

    Whatever cannot be trusted is forgotten, and done again: without a record of the job, everything; else the stretches
    from the first one that is torn, missing or of another size than was recorded. Stray files go.

    Args:
        job: what makes a job this job, each under the name that the user knows.

    Raises:
        OptionError: the folder is of another job.
        OSError: it cannot be written.
    """

    def __init__(self, folder: Path, job: Mapping[str, object]) -> None:
        self._folder, self._path = folder, folder / JOURNAL_FILE
        self.stretches: list[Stretch] = []
        self.is_complete = False
        self.damage = ""
        claim(folder, job)
        self._read()
        self._tidy()

    @property
    def frames(self) -> int:
        """How many are done."""
        return sum(len(stretch.pts) for stretch in self.stretches)

    @property
    def repeats(self) -> int:
        """How many of them stand in for lost ones."""
        return sum(stretch.repeats for stretch in self.stretches)

    @property
    def last_pts(self) -> int | None:
        return self.stretches[-1].pts[-1] if self.stretches else None

    def add(self, stretch: Stretch) -> None:
        """Records a stretch; it is on the disk when this returns."""
        self._append(asdict(stretch))
        self.stretches.append(stretch)

    def complete(self, damage: str) -> None:
        """Records that no frame is left, and what was wrong with the source ("" for nothing)."""
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
        """One line of the journal; raises whatever a torn one leads to."""
        if record.get("complete"):
            self.is_complete, self.damage = True, str(record["damage"])
            return
        stretch = Stretch(**{**record, "pts": tuple(record["pts"])})
        if Path(stretch.file).name != stretch.file:  # whoever wrote the journal: nothing outside of the folder is read
            raise ValueError(f"{stretch.file} is no file of ours")
        file = self._folder / stretch.file
        if stretch.number != len(self.stretches) or not file.is_file() or file.stat().st_size != stretch.size:
            raise ValueError(f"stretch {stretch.number} is not what was recorded")
        self.stretches.append(stretch)

    def _tidy(self) -> None:
        """Takes away what killed runs have left: stretches that were never recorded, and halves of the join."""
        kept = {stretch.file for stretch in self.stretches}
        for file in (*self._folder.glob(f"{STRETCH}*"), *self._folder.glob(f"{JOINED}*")):
            if file.name not in kept:
                with suppress(OSError):  # an encoder that outlived its run may still hold it
                    file.unlink()

    def _append(self, record: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(json.dumps(record) + "\n")
            stream.flush()
            os.fsync(stream.fileno())


class StretchWriter(Closing):
    """Writes frames as stretches. A stretch is closed and read back while the next one is being encoded.

    Args:
        folder: the work folder.
        name: of the output, for messages.
        track: how frames are encoded; its encoder begins every run with a closed group.
        journal: where finished stretches are recorded.

    Attributes:
        seconds: how long we have been waiting for encoders.
    """

    def __init__(self, folder: Path, name: str, track: Track, journal: Journal, ffmpeg: FFmpeg) -> None:
        self._folder, self._name, self._track, self._ffmpeg = folder, name, track, ffmpeg
        self._journal = journal
        self._length = stretch_length(track.rate)
        self._next = len(journal.stretches)
        self._writer: VideoWriter | None = None
        self._file = Path()
        self._pts: list[int] = []
        self._repeats = 0
        self._closer = ThreadPoolExecutor(1, "stretch")
        self._closing: Future[None] | None = None
        self._shortest = math.ceil(Fraction(1, 1000) / track.time_base)
        self._told = 0
        self.seconds = 0.0

    def write(self, frame: VideoFrame) -> None:
        """Takes one frame.

        The encoder is told of times that are 1 ms apart at least, Matroska's tick: they need only tell the order, for
        the join gives every packet the time that is recorded.

        Raises:
            OutputError: an encoder fails.
        """
        self._told = max(frame.pts, self._told + self._shortest) if self._pts else frame.pts
        if self._writer is None:
            self._file = self._folder / f"{STRETCH}{self._next:05d}-{secrets.token_hex(4)}.mkv"
            self._writer = VideoWriter(
                self._file, self._name, [self._track], CONTAINERS["Matroska"], self._ffmpeg, is_part=True
            )
        before = self._writer.seconds
        self._writer.write(0, frame.samples, self._told)
        self.seconds += self._writer.seconds - before
        self._pts.append(frame.pts)
        self._repeats += frame.is_repeat
        if len(self._pts) == self._length:
            self._hand_over()

    def finish(self) -> None:
        """Closes the last stretch; all are recorded when this returns."""
        if self._pts:
            self._hand_over()
        self._wait()

    def close(self) -> None:
        """Ends what is under way; finished stretches stay."""
        if self._writer is not None:
            self._writer.close()
        self._closer.shutdown(wait=True)

    def _hand_over(self) -> None:
        """Lets the stretch in hand be closed in the background, one at a time."""
        self._wait()
        assert self._writer is not None
        begun = Stretch(self._next, self._file.name, 0, tuple(self._pts), 0, self._repeats)
        self._closing = self._closer.submit(self._close_stretch, self._writer, begun)
        self._writer, self._pts, self._repeats = None, [], 0
        self._next += 1

    def _wait(self) -> None:
        if self._closing is not None:
            self._closing.result()
            self._closing = None

    def _close_stretch(self, writer: VideoWriter, begun: Stretch) -> None:
        with writer:
            writer.finish()
        file = self._folder / begun.file
        synced(file)
        delay = _delay(file, len(begun.pts), self._name)
        size = file.stat().st_size
        self._journal.add(Stretch(begun.number, begun.file, size, begun.pts, delay, begun.repeats))


def join(folder: Path, stretches: Sequence[Stretch], writer: VideoWriter) -> None:
    """Copies the packets of all stretches into one stream, each with the timestamp that was recorded for it.

    Decoding timestamps are made anew from all presentation timestamps: those of a stretch's own beginning would
    reach back into the stretch before.

    Raises:
        OutputError: a stretch does not hold what the journal says, or ffmpeg fails.
    """
    dts = decoding_times(stretches)
    steps = [later - earlier for earlier, later in pairwise(dts)]
    steps.append(steps[-1] if steps else 0)
    done = 0
    for stretch in stretches:
        ranks = _checked_ranks(folder / stretch.file, len(stretch.pts), writer.name)
        with open_clip(f"file:{folder / stretch.file}") as source:
            stream = source.streams.video[0]
            writer.take_shape(stream)
            packets = (packet for packet in source.demux(stream) if packet.size)
            for number, (packet, rank) in enumerate(zip(packets, ranks, strict=True)):
                writer.copy(packet, stretch.pts[rank], dts[done + number], steps[done + number])
        done += len(stretch.pts)


def decoding_times(stretches: Sequence[Stretch]) -> list[int]:
    """When each packet of the join is decoded, in ticks: rising, and never after it is shown.

    As encoders do it: the packet in place n is decoded when frame n - delay is shown, and the first ones before any,
    as much earlier as the frame in place `delay` is shown later than the first.
    """
    pts = [time for stretch in stretches for time in stretch.pts]
    delay = min(max(stretch.delay for stretch in stretches), len(pts) - 1)
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
    """Reads a stretch back: by how many places its packets come before their turn."""
    return max(number - rank for number, rank in enumerate(_checked_ranks(file, frames, name)))


def _checked_ranks(file: Path, frames: int, name: str) -> list[int]:
    """See `_ranks`.

    Raises:
        OutputError: the stretch does not hold as many frames as went in, or cannot be read.
    """
    try:
        ranks = _ranks(_times(file))
    except (av.error.FFmpegError, IndexError) as error:
        raise OutputError(f"{name}: {file} cannot be read back. Remove the folder, and begin again.") from error
    if len(ranks) != frames:
        raise OutputError(f"{name}: {frames} frames went into {file}, {len(ranks)} are in it. Choose another --codec.")
    return ranks
