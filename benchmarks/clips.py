"""What the benchmarks of clips share: clips, the runs that are compared, and a process that is watched as it runs.

Clips are made with the ffmpeg that imageio-ffmpeg brings, so that nothing has to be downloaded.
"""

import contextlib
import functools
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

import av
import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.memory import high_water
from benchmarks.report import REPOSITORY, alternating, photo, summary
from upscale_cli.api import upscale_video
from upscale_cli.events import ClipFinished, Event
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg

Picture = NDArray[np.uint8]
"""(height, width, 3) RGB."""

RATE: Final = 25
USUAL: Final = ("-c:v", "libx264", "-crf", "23", "-preset", "veryfast", "-pix_fmt", "yuv420p")
"""How clips that are to be decoded are encoded: as many on the web are."""

CRF: Final = 18
FASTEST: Final = ("-c:v", "libx264", "-crf", str(CRF), "-preset", "ultrafast")
"""What every candidate encodes with where speed is compared."""

STRAY_SECONDS: Final = 2.0
"""How long after its parent a child may end without being called left over."""


# Clips


def make_clip(path: Path, frames: Iterable[Picture], *encoder: str, sound_seconds: float = 0) -> Path:
    """Encodes pictures of one size at 25 fps; with a tone in AAC, if `sound_seconds` is not 0."""
    pictures = iter(frames)
    first = next(pictures)
    height, width, _ = first.shape
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(RATE), "-i", "pipe:0")
    tone = ("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={sound_seconds}", "-c:a", "aac")
    matrix = ("-vf", "scale=out_color_matrix=bt709:out_range=tv", "-colorspace", "bt709")
    command = [*ffmpeg(), *raw, *(tone if sound_seconds else ()), *matrix, *(encoder or USUAL), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for picture in itertools.chain((first,), pictures):
            process.stdin.write(picture.tobytes())
    assert process.returncode == 0, command
    return path


def pan(height: int, width: int, frames: int) -> Iterator[Picture]:
    """A view that moves to and fro over a picture with detail of every size, 2 pixels a frame, with a camera's grain.

    Without grain an encoder would find each block in the frame before, and do much less than clips make it do.
    """
    way = 480
    scene = photo(height, width + way)
    for number in range(frames):
        left = abs((2 * number) % (2 * way) - way)
        yield grainy(scene[:, left : left + width], seed=number)


GRAIN: Final = 2.5
"""Standard deviation of the noise of a camera in fair light, in code values."""


def grainy(picture: Picture, seed: int) -> Picture:
    """With noise of its own for each seed: a window of one large field, at a place of its own."""
    height, width, _ = picture.shape
    top, left = np.random.default_rng(seed).integers(0, _MARGIN, 2)
    noise = _noise(height + _MARGIN, width + _MARGIN)[top : top + height, left : left + width, None]
    noisy: Picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    return noisy


_MARGIN: Final = 256


@functools.lru_cache(maxsize=1)
def _noise(height: int, width: int) -> NDArray[np.int16]:
    return np.rint(np.random.default_rng(0).normal(0, GRAIN, (height, width))).astype(np.int16)


# What is compared


def ffmpeg() -> tuple[str, ...]:
    """The program that ours uses too, quiet, and what comes before its inputs."""
    return find_ffmpeg().path, "-hide_banner", "-loglevel", "error", "-y"


def upscaled(source: Path, output: Path, upscaler: Upscaler, options: ClipOptions, scale: int = 2) -> ClipFinished:
    """One run of ours from file to file, in this process."""
    reported: list[Event] = []
    upscale_video(source, output, scale, model=upscaler, options=options, listener=reported.append)
    return next(event for event in reported if isinstance(event, ClipFinished))


def one_command(source: Path, output: Path) -> None:
    """One ffmpeg that decodes, repeats pixels and encodes: what ours is held against."""
    enlarge = ("-vf", "scale=iw*2:ih*2:flags=neighbor")
    streams = ("-map", "0:v:0", "-map", "0:a?", "-c:a", "copy", "-fps_mode", "passthrough")
    subprocess.run([*ffmpeg(), "-nostdin", "-i", str(source), *streams, *enlarge, *FASTEST, str(output)], check=True)


def cpu_seconds() -> float:
    """Seconds of CPU that this process has taken, with the children that have ended (without them on Windows)."""
    times = psutil.Process().cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def race(candidates: Mapping[str, Callable[[], object]], frames: int, repeats: int) -> dict[str, dict[str, float]]:
    """Candidates in turn: seconds, frames per second by the median, and seconds of CPU, each of all `frames`."""
    cpu: dict[str, list[float]] = {name: [] for name in candidates}

    def counted(name: str, run: Callable[[], object]) -> Callable[[], None]:
        def call() -> None:
            before = cpu_seconds()
            run()
            cpu[name].append(cpu_seconds() - before)

        return call

    seconds = alternating({name: counted(name, run) for name, run in candidates.items()}, repeats=repeats)
    return {
        name: {
            **summary(taken),
            "fps": round(frames / summary(taken)["median_s"], 1),
            "cpu_s": summary(cpu[name][1:])["median_s"],  # the first round warms up
        }
        for name, taken in seconds.items()
    }


# A process that is watched


Role = Literal["ours", "decoder", "encoder"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)


@dataclass(slots=True)
class Watched:
    """A run of the command line, seen from outside.

    Attributes:
        seconds: from start to end.
        samples: (seconds since the start, bytes resident) again and again.
        peak: the most that was ever resident, by the system's own account where it keeps one; bytes.
        left: command lines of children that outlived it.
    """

    seconds: float = 0.0
    samples: dict[Role, list[tuple[float, int]]] = field(default_factory=lambda: {role: [] for role in ROLES})
    peak: dict[Role, int] = field(default_factory=lambda: dict.fromkeys(ROLES, 0))
    left: list[str] = field(default_factory=list)

    def take(self, role: Role, process: psutil.Process, seconds: float) -> None:
        """One more sample."""
        held = process.memory_info().rss
        self.samples[role].append((seconds, held))
        self.peak[role] = max(self.peak[role], held, high_water(process.pid))

    @property
    def peak_mb(self) -> dict[str, float]:
        return {role: round(held / 1e6, 1) for role, held in self.peak.items()}


def watch(*arguments: str, interval: float) -> Watched:
    """Runs the command line with these arguments to its end; looks every `interval` seconds."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "UPSCALE_OFFLINE": "1"}
    command = [sys.executable, "-m", "upscale_cli", *arguments]
    found, children = Watched(), dict[int, psutil.Process]()
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        ours = psutil.Process(process.pid)
        while process.poll() is None:
            seconds = time.perf_counter() - begin
            with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                found.take("ours", ours, seconds)
                for child in ours.children(recursive=True):
                    children.setdefault(child.pid, child)
                    if role := role_of(child):
                        found.take(role, child, seconds)
            time.sleep(interval)
        found.seconds = time.perf_counter() - begin
        log.seek(0)
        assert process.returncode == 0, log.read().decode(errors="replace")
    _, alive = psutil.wait_procs(list(children.values()), timeout=STRAY_SECONDS)
    found.left = [" ".join(child.cmdline()[:3]) for child in alive]
    return found


def role_of(child: psutil.Process) -> Role | None:
    """By its pipe; None for a child that only tells what this ffmpeg can do."""
    arguments = child.cmdline()
    return "decoder" if "pipe:1" in arguments else "encoder" if "pipe:0" in arguments else None


# What is in a file


def luma(path: Path) -> Iterator[NDArray[np.uint8]]:
    """(height, width) code values of each frame of an 8-bit clip."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="yuv420p")[: frame.height].astype(np.uint8, copy=False)


def packet_times(path: Path, kind: str) -> list[float]:
    """When the packets of the first "video" or "audio" stream are shown, in seconds, sorted."""
    with av.open(str(path)) as container:
        streams: Any = getattr(container.streams, kind)
        packets = (packet for packet in container.demux(streams[0]) if packet.size and packet.pts is not None)
        return sorted(float(packet.pts * packet.time_base) for packet in packets)
