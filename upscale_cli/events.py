"""What happens on the way, as values: the pipeline tells, a listener shows (bar, JSON line, nothing)."""

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Note:
    """Something the user should know; the work goes on."""

    text: str


@dataclass(frozen=True, slots=True)
class Fetching:
    """Bytes of a checkpoint that have arrived; `total` is None where the server does not say."""

    file: str
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Started:
    """A source is about to be upscaled."""

    source: str
    output: str
    model: str
    why: str
    passes: tuple[str, ...]
    device: str
    precision: str
    width: int
    height: int
    sr_width: int
    sr_height: int
    frames: int
    encoder: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """Tiles done of all tiles of the source, and million SR pixels made so far."""

    done: int
    total: int
    megapixels: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """The expected time, told once, before a long run."""

    seconds: float
    device: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A whole output file exists."""

    source: str
    output: str
    width: int
    height: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ClipProgress:
    """Frames of a clip that are written.

    Attributes:
        done, total: frames; total is None where nobody knows.
        fps: frames per second of work so far.
        realtime: seconds of clip per second of work; 1 keeps up with the clock.
        seconds_left: None where nobody knows.
        slowest: the stage that the others wait for: "decode", "upload", "net", "download" or "encode".
    """

    done: int
    total: int | None
    fps: float
    realtime: float
    seconds_left: float | None
    slowest: str


@dataclass(frozen=True, slots=True)
class ClipFinished:
    """A whole output clip exists.

    Attributes:
        model: what upscaled it.
        frames: written; of them by the `net`, by the `fallback` (bicubic, where the net would have come too late), and
            the `same` as the frame before; `repeated` stand in for frames that the source has lost.
        stages: busy seconds of each stage; they run at the same time.
        damage: what the source has lost, in words; "" for nothing.
        advice: what would help, where real time was wanted and the net could not hold it; "" otherwise.
    """

    source: str
    output: str
    width: int
    height: int
    seconds: float
    frames: int
    fps: float
    realtime: float
    net: int
    fallback: int
    same: int
    repeated: int
    slowest: str
    stages: dict[str, float]
    model: str
    damage: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """A source has no output; why."""

    source: str
    message: str


Event = Note | Fetching | Started | Progress | Estimate | Finished | ClipProgress | ClipFinished | Failed
Listener = Callable[[Event], None]
Say = Callable[[str], None]
"""Takes one line that the user should know."""


def ignore(event: Event) -> None:
    """The listener that shows nothing."""


def as_record(event: Event) -> dict[str, Any]:
    """For `--json`: {"event": "started", ...fields}."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    return {"event": name, **{key: _encodable(value) for key, value in dataclasses.asdict(event).items()}}


def _encodable(value: Any) -> Any:
    """Names of files may hold bytes that are no text; JSON may not."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
