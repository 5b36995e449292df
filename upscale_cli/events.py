"""What happens on the way, as values: the pipeline reports, a listener shows (bar, JSON line, nothing).

Texts for users are `messages.Message`: they read as Python users see them, and each face writes their options anew.
"""

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from upscale_cli.messages import Message


def _make_messages(event: object, *names: str) -> None:
    """What a user reads of an event becomes a `Message`, wherever it was made."""
    for name in names:
        object.__setattr__(event, name, Message(getattr(event, name)))


@dataclass(frozen=True, slots=True)
class Note:
    """Something the user should know; the work goes on.

    Attributes:
        source: what it is about; "" for all.
        is_detail: it is as everybody does it, and told to those only who want to know all.
    """

    text: str
    source: str = ""
    is_detail: bool = False

    def __post_init__(self) -> None:
        _make_messages(self, "text")


@dataclass(frozen=True, slots=True)
class Fetching:
    """Bytes of a checkpoint that have arrived; `total` is None where unknown."""

    file: str
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Chosen:
    """A model was chosen by a look at a picture or a clip, for none was named.

    Attributes:
        seen: what the file has shown, for people.
        group: the coarse kind of picture or clip that decides, for people.
        is_clip: whether it is for a clip.
        kind: "photograph", "drawing", "text" or "screen"; None where no pixel was looked at.
        jpeg_quality: 1 to 100, of the strongest JPEG compression that was found; None: none was.
        noise: standard deviation in levels of 8 bits.
    """

    source: str
    model: str
    seen: str
    group: str
    is_clip: bool = False
    kind: str | None = None
    jpeg_quality: int | None = None
    noise: float = 0.0


@dataclass(frozen=True, slots=True)
class Started:
    """A source is about to be upscaled.

    Attributes:
        why: the model was chosen, or "asked for".
        passes: the nets that a picture goes through, one after the other, for people.
        width, height: LR pixels; sr_width, sr_height: SR pixels.
        frames: frames or pages; 0 where unknown.
        encoder: of a clip; "" for a picture.
        engine: what computes the nets.
    """

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
    engine: str = "torch"

    @property
    def computed_in(self) -> str:
        """Precision and engine, for people."""
        return self.precision if self.engine == "torch" else f"{self.precision} by {self.engine}"

    def __post_init__(self) -> None:
        _make_messages(self, "why")


@dataclass(frozen=True, slots=True)
class Progress:
    """Tiles done of all tiles of the source, and million SR pixels made so far.

    Attributes:
        expected_seconds: that the whole is likely to take; 0 where that is not known, or little.
    """

    source: str
    done: int
    total: int
    megapixels: float
    expected_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """The expected time, reported once, before a long run."""

    seconds: float
    device: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A whole output file exists: width and height in SR pixels, and the seconds that it took."""

    source: str
    output: str
    width: int
    height: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Carried:
    """What a source carried beside its samples, and what became of it, by name (`media.inventory`).

    Attributes:
        kept, changed: in the output too, as it was or with another value.
        lost: not in the output; a note has said so.
        stale: not in the output, for it would not be true of it: thumbnails.
    """

    source: str
    output: str
    kept: tuple[str, ...]
    changed: tuple[str, ...]
    lost: tuple[str, ...]
    stale: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClipProgress:
    """Frames of a clip that are written.

    Attributes:
        done, total: frames; total is None where unknown.
        fps: frames per second of work so far.
        realtime: seconds of clip per second of work; 1 keeps up with the clock.
        seconds_left: None where unknown.
        slowest: the stage that the others wait for: "decode", "upload", "net", "download" or "encode".
    """

    source: str
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
            the `same` as the frame before; `repeated` replace frames that the source has lost.
        reused: share of the net's work that was not done, for the frame before was the same there; 0 to 1.
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
    reused: float = 0.0
    damage: str = ""
    advice: str = ""

    def __post_init__(self) -> None:
        _make_messages(self, "damage", "advice")


@dataclass(frozen=True, slots=True)
class Failed:
    """A source has no output; why.

    Attributes:
        message: one line for the user.
        causes: the exceptions behind it, nearest first.
        traceback: of a bug of ours; "" for what a user can mend.
    """

    source: str
    message: str
    causes: tuple[str, ...] = ()
    traceback: str = ""

    def __post_init__(self) -> None:
        _make_messages(self, "message")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A source whose output is there already, or that is left alone.

    Attributes:
        output: "" for a source that is left alone.
        why: it is left alone; "" for one whose output is there.
    """

    source: str
    output: str
    why: str = ""

    def __post_init__(self) -> None:
        _make_messages(self, "why")


@dataclass(frozen=True, slots=True)
class Planned:
    """What would be done with a source (`--dry-run`); `frames` is None, and sizes are 0, where unknown: objects
    are read in their turn only. `why` the model was chosen; "" where it was named."""

    source: str
    output: str
    model: str
    width: int
    height: int
    sr_width: int
    sr_height: int
    frames: int | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Surveying:
    """Sources of a folder that have been looked at, of all that were found."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Surveyed:
    """All sources have been looked at, nothing is computed yet.

    Attributes:
        to_do, skipped, failed: sources; one counts once for each model.
        ignored: files that are no sources, by the reason.
        megapixels: million SR pixels to make, all frames counted.
        left_alone: sources that are large enough.
    """

    to_do: int
    skipped: int
    failed: int
    ignored: dict[str, int]
    megapixels: float
    left_alone: int = 0


@dataclass(frozen=True, slots=True)
class FolderProgress:
    """One source of many is done with.

    Attributes:
        done, skipped, failed, total: sources.
        megapixels, total_megapixels: million SR pixels made, and to make in all.
        megapixels_per_second: the pace so far.
        seconds_left: None before the first pixel.
    """

    done: int
    skipped: int
    failed: int
    total: int
    megapixels: float
    total_megapixels: float
    megapixels_per_second: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class FolderFinished:
    """The run is over.

    Attributes:
        to_do: sources that were not reached: all with --dry-run, the rest after --fail-fast.
        failures: the sources without an output, or with a damaged one, and why.
        left_alone: sources that are large enough.
    """

    to_do: int
    done: int
    skipped: int
    failed: int
    ignored: dict[str, int]
    megapixels: float
    seconds: float
    failures: tuple[Failed, ...]
    left_alone: int = 0


Event = (
    Note | Fetching | Chosen | Started | Progress | Estimate | Carried | Finished | ClipProgress | ClipFinished | Failed
    | Skipped | Planned | Surveying | Surveyed | FolderProgress | FolderFinished
)  # fmt: skip
Listener = Callable[[Event], None]
Say = Callable[[str], None]
"""Takes one line that the user should know."""


class Detail(Message):
    """A line for a `Say` that only those want to know who want to know all."""


def ignore(event: Event) -> None:
    """The listener that shows nothing."""


def unreported(text: str) -> None:
    """A `Say` that drops what it is given."""


def rewritten(event: Event, write: Callable[[str], str]) -> Event:
    """An event in the words of another face.

    Args:
        write: gives what that face says for a `Message`.
    """
    changed: Event = _rewritten(event, write)
    return changed


def _rewritten(value: Any, write: Callable[[str], str]) -> Any:
    if isinstance(value, Message):
        return write(value)
    if isinstance(value, dict):
        return {_rewritten(key, write): item for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_rewritten(item, write) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return type(value)(**{name: _rewritten(field, write) for name, field in fields.items()})
    return value


def as_record(event: Event) -> dict[str, Any]:
    """For programs that read JSON: {"event": "started", ...fields}."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    return {"event": name, **{key: encodable(value) for key, value in dataclasses.asdict(event).items()}}


def encodable(value: Any) -> Any:
    """Names of files may hold bytes that are no text; JSON may not."""
    if isinstance(value, dict):
        return {key: encodable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encodable(item) for item in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def saying(listener: Listener) -> Say:
    """Notes to a listener."""
    return lambda text: listener(Note(text, is_detail=isinstance(text, Detail)))


def each_once(say: Say) -> Say:
    """Passes each line on once, however often it comes. All places that leave out repeated notes do it by this."""
    reported: set[str] = set()

    def say_new(text: str) -> None:
        if text not in reported:
            reported.add(text)
            say(text)

    return say_new


def saying_once(listener: Listener) -> Say:
    """Notes to a listener, each once."""
    return each_once(saying(listener))


def noting_once(listener: Listener) -> Listener:
    """A listener that passes on all but notes that were there before."""
    say = saying_once(listener)

    def listen(event: Event) -> None:
        if isinstance(event, Note):
            say(event.text)
        else:
            listener(event)

    return listen


def naming_source(listener: Listener, source: str) -> Listener:
    """A listener that adds to every note which source it is about."""

    def listen(event: Event) -> None:
        listener(dataclasses.replace(event, source=source) if isinstance(event, Note) else event)

    return listen
