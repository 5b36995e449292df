"""What a case of `unchanged` is, and the sets of inputs that cases share."""

import shlex
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.unchanged_inputs import group
from benchmarks.unchanged_services import Service

Output = Literal["events", "rows", "nothing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One process.

    Attributes:
        arguments: of the command line; with `script`, the lines of a Python program instead.
        exit_code: what the older checkout is expected to end with; None: whatever both end with.
        output: how standard output is compared: events by how often each kind is reported (a difference is a note and
            no failure), rows of JSON without times.
        stdin: the input that is read from standard input.
        stdout: the file that standard output goes to, which is compared as any output.
        kill: a pattern of files and a number of bytes: killed as soon as so many bytes lie in files that match.
        shows: what the older checkout's messages must hold, so that the case is known to meet what it is there for.
        by_before: done by the older checkout on both sides: what it leaves is taken over by the newer one.
    """

    arguments: tuple[str, ...]
    exit_code: int | None = 0
    output: Output = "events"
    stdin: str = ""
    stdout: str = ""
    kill: tuple[str, int] | None = None
    shows: str = ""
    by_before: bool = False
    script: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Steps in one folder, one after the other, whose outputs are compared when all are done.

    Attributes:
        quick: one of the few that --quick takes.
        also: inputs that no command line names.
        needs: what must be there: a service that the script starts.
    """

    name: str
    steps: tuple[Step, ...]
    quick: bool = False
    also: tuple[str, ...] = ()
    needs: Service = ""


def step(command: str, *inputs: str, exit_code: int | None = 0, output: Output = "events") -> Step:
    """`upscale INPUTS COMMAND --json`."""
    return Step(arguments=(*inputs, *shlex.split(command), "--json"), exit_code=exit_code, output=output)


def piped(command: str, source: str, stdout: str) -> Step:
    """From standard input to standard output."""
    return Step(
        arguments=("-", "-o", "-", *shlex.split(command)), output="nothing", stdin=source, stdout=stdout
    )  # fmt: skip


PHOTOS: Final = group("photos/*")
ONE_FRAME: Final = group("photos/*", without=("*animated.*", "*pages.tif", "*.gif"))
FEW: Final = tuple(
    f"photos/{name}"
    for name in (
        "RGB8.png", "palette.png", "RGBA8.png", "L16.png", "cmyk.jpg", "RGBf32.tif", "lab8.tif", "linear.png",
        "LA8.tif", "colour.jpg", "animated.gif",
    )
)  # fmt: skip
SOME: Final = FEW[:8]
ALPHA: Final = group(
    "photos/LA*", "photos/RGBA*", "photos/alpha*", "photos/clear_palette.png", "photos/linear_alpha.png",
    "photos/associated.tif",
)  # fmt: skip
RRDB4, RRDB2, FOLDING2 = (f"nets/{name}.safetensors" for name in ("rrdb4", "rrdb2", "folding2"))
SRVGG4, SRVGG2 = (f"nets/{name}.safetensors" for name in ("srvgg4", "srvgg2"))


def label(model: str) -> str:
    """A model and its scale as part of a name."""
    return model.removeprefix("nets/").replace(".safetensors", "").replace(" -s ", "-x")
