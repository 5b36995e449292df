"""What an ONNX net is, found out by running it: nothing in a file says how large its answer is or how far it sees.

    sides it takes  ->  scale  ->  range of values  ->  halo (a pixel is changed: how far does it show?)  ->  Measured

What our own export has written down is believed, but for one run. (Gradients would show the halo in one go, but engines
know none.)
"""

import contextlib
import json
import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Final, cast

import numpy as np

from upscale_cli.errors import CheckpointError
from upscale_cli.events import Say
from upscale_cli.inference.engines_here import ONNXRUNTIME, OPENVINO, is_installed, package
from upscale_cli.inference.onnx_trial import Batch, Runner, contents, runner, shrunk, smooth, textured
from upscale_cli.messages import option
from upscale_cli.models import store
from upscale_cli.models.interface import MOST_DENOMINATOR, Scale, as_scale
from upscale_cli.models.onnx_adapted import FACTORS, ValueRange, adapted
from upscale_cli.models.onnx_facts import StatedFacts
from upscale_cli.models.onnx_file import OnnxFile
from upscale_cli.models.onnx_shapes import graph_cost
from upscale_cli.models.settings import write_cached

VERSION: Final = 1
"""Of what is measured and how; what an earlier one found is measured again."""

SIDES: Final = {1: 37, 2: 38, 3: 39, 4: 44, 6: 42, 8: 40, 12: 36, 16: 48, 32: 96, 64: 192}
"""Multiples that are tried, and sides that are multiples of no larger one of them."""

MOST_ELEMENTS: Final = 2**29
"""Of a tensor, for a picture of 64 x 64: 2 GB."""

LARGEST_SCALE: Final = 16

LEAST_FIXED: Final = 48
"""LR pixels of the sides of nets that take one size only: there has to be room for a tile with what is around it."""

NOTICEABLE_MACS: Final = 10**6
"""Multiply-adds per LR pixel above which trying takes long enough to be reported."""

CHEAP: Final = ((10**6, 192), (4 * 10**6, 128))
"""Multiply-adds per LR pixel up to which the halo is looked for on pictures of that side; else of `COSTLY_SIDE`."""
COSTLY_SIDE: Final = 96

SILENT: Final = 1e-6
"""Of the greatest change, what a pixel that sees nothing of it may change by: engines sum in other orders."""

CLOSE_DB: Final = 50.0
"""What a tile has to be near the whole picture by, on an invented one."""

EDGE: Final = 8
"""LR pixels from the far border; what shows there may show beyond."""

ASK: Final = "Ask its maker what it takes"

USUAL_HALO: Final = 16
"""LR pixels, where no halo makes a tile what the whole would be."""

EVEN: Final = 0.5
"""Of a change's effect at two fifths of the picture, what is left at the far end where a net looks at the whole."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found out; see `Descriptor`.

    Attributes:
        scale: as numerator and denominator.
        margin: LR pixels that the answer lacks on each side.
        given, made: ranges of values.
        is_range_known: they fit what came out.
    """

    scale: tuple[int, int]
    margin: int
    given: ValueRange
    made: ValueRange
    is_range_known: bool
    multiple_of: int
    least_side: int
    halo: int
    exact: bool
    sees_whole: bool
    one_at_a_time: bool

    @property
    def factor(self) -> Scale:
        return as_scale(Fraction(*self.scale))


class _UnfitError(Exception):
    """What is wrong with the net; the caller adds the file's name."""


def measured(file: OnnxFile, stated: StatedFacts, say: Say) -> Measured:
    """What a net is, from what it says of itself, from an earlier run, or by trying: some seconds, once.

    Raises:
        CheckpointError: no engine here runs it, or it is no net that enlarges pictures.
    """
    path = store.cache_folder() / "onnx" / f"{file.sha256[:40]}-{VERSION}.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return Measured(**{**facts, "scale": tuple(facts["scale"])})
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        with np.errstate(all="ignore"):  # of nets that are damaged, or are fed another range than theirs
            found = _Probe(file, stated, say).measured()
    except _UnfitError as error:
        raise CheckpointError(f"{file.path}: {error}") from error
    with contextlib.suppress(OSError):  # without a cache it is found out again
        write_cached(path, json.dumps(asdict(found)).encode())
    return found


class _Probe:
    """Tries a net.

    Args:
        stated: what the file says of itself.
        say: takes what the user should know.
    """

    def __init__(self, file: OnnxFile, stated: StatedFacts, say: Say) -> None:
        self._file, self._stated, self._say = file, stated, say
        self._channels = file.picture.channels
        self._fixed = _fixed_sides(file)
        draft = adapted(file, "unit", "unit")
        cost = graph_cost(draft, *(self._fixed or (64, 64)))
        if cost is not None and cost.elements > MOST_ELEMENTS:
            raise _UnfitError(f"makes {cost.elements:.1g} numbers of a picture of 64 x 64: refused. Choose another net")
        pixels = self._fixed[0] * self._fixed[1] if self._fixed else 64 * 64
        self._macs = cost.macs / pixels if cost is not None else math.inf
        if not (is_installed(OPENVINO) or is_installed(ONNXRUNTIME)):
            raise _UnfitError(
                f"is an ONNX file, which needs an {option('engine')} that is not here. Install one: "
                f"pip install {package(ONNXRUNTIME)}"
            )
        self._run = self._runner(draft)
        self._whole: Batch | None = None  # the answer to a picture that parts are compared with

    def _runner(self, model: bytes) -> Runner:
        try:
            return runner(model, self._file.conditions)
        except RuntimeError as error:
            raise _UnfitError(f"no engine here takes it ({error}). Ask its maker for another file") from error

    def measured(self) -> Measured:
        stated = self._stated
        if stated.is_whole:
            return self._as_stated()
        if self._macs > NOTICEABLE_MACS:
            self._say(f"{self._file.path.name} is new here: trying what it does, some seconds, once.")
        multiple_of, least = self._sides()
        sides = self._fixed or (least_of(multiple_of, least, 37), least_of(multiple_of, least, 48))
        scale, margin = self._scale(sides, multiple_of)
        given, made, known = self._ranges(sides, scale, margin)
        self._run = self._runner(adapted(self._file, given, made, margin))
        alone = self._file.picture.one_at_a_time or not self._takes_batches(sides)
        halo, exact, whole = self._halo(scale, math.lcm(multiple_of, scale.denominator), least)
        return Measured(
            (scale.numerator, scale.denominator), margin, given, made, known, multiple_of, least, halo, exact, whole,
            alone,
        )  # fmt: skip

    def _as_stated(self) -> Measured:
        """What the file says, where a run agrees with it."""
        stated = self._stated
        scale = Fraction(stated.scale or 1)
        multiple_of, least = stated.multiple_of or 1, stated.least_side or 1
        sides = self._fixed or (least_of(multiple_of, least, 37), least_of(multiple_of, least, 48))
        made = self._try(*sides)
        if made is None or made.shape[2:] != tuple(math.ceil(side * scale) for side in sides):
            raise _UnfitError(f"is not what its metadata says (x{float(scale):g}). Get the file again")
        alone = self._file.picture.one_at_a_time or not self._takes_batches(sides)
        return Measured(
            (scale.numerator, scale.denominator), 0, "unit", "unit", True, multiple_of, least, stated.halo or 0,
            bool(stated.exact), bool(stated.sees_whole), alone,
        )  # fmt: skip

    # Sizes

    def _try(self, height: int, width: int, number: int = 1) -> Batch | None:
        """The answer to noise of that size; None where there is none, or no picture."""
        rng = np.random.default_rng(height * width)
        lr = rng.random((number, self._channels, height, width), dtype=np.float32)
        try:
            sr = self._run(lr)
        except (RuntimeError, ValueError, MemoryError):
            return None
        good = sr.ndim == 4 and sr.shape[:2] == lr.shape[:2] and min(sr.shape[2:]) > 0
        return sr if good and np.isfinite(sr).all() else None

    def _sides(self) -> tuple[int, int]:
        """(what sides must divide by, the least of them)."""
        if self._fixed:
            return 1, 1
        for multiple_of, side in SIDES.items():
            if self._try(side, side) is not None:
                for least in sorted({multiple_of * count for count in (1, 2, 3, 4, 6, 8, 12, 16, 24)}):
                    if least >= side or self._try(least, least) is not None:
                        return multiple_of, min(least, side)
        raise _UnfitError(
            f"gives no picture for any size from {min(SIDES.values())} to {max(SIDES.values())} pixels. {ASK}"
        )

    def _scale(self, sides: tuple[int, int], multiple_of: int) -> tuple[Fraction, int]:
        """SR pixels per LR pixel, and LR pixels that the answer lacks on each side: by two sizes."""
        first = self._try(*sides)
        if first is None:
            raise _UnfitError(f"gives no picture for {sides[1]} x {sides[0]} pixels. {ASK}")
        height, width = first.shape[2:]
        more = multiple_of * max(1, 16 // multiple_of)
        if self._fixed:
            scales = {Fraction(height, sides[0]), Fraction(width, sides[1])}
        else:
            second = self._try(sides[0] + more, sides[1] + more)
            if second is None:
                raise _UnfitError(f"gives no picture for {sides[1] + more} x {sides[0] + more} pixels. {ASK}")
            scales = {Fraction(b - a, more) for a, b in zip(first.shape[2:], second.shape[2:], strict=True)}
        scale = max(scales)
        if len(scales) != 1 or not 1 <= scale <= LARGEST_SCALE or scale.denominator > MOST_DENOMINATOR:
            raise _UnfitError(
                f"makes {width} x {height} of {sides[1]} x {sides[0]} pixels, which is no scale from 1 to "
                f"{LARGEST_SCALE}: no net that enlarges pictures. Choose another"
            )
        return scale, self._margin(
            {side * scale - length for side, length in zip(sides, (height, width), strict=True)}, scale
        )

    def _margin(self, lacking: set[Fraction], scale: Fraction) -> int:
        """LR pixels to add on each side, for an answer that lacks so many SR pixels."""
        if lacking == {Fraction(0)}:
            return 0
        margin = max(lacking) / (2 * scale)
        if len(lacking) != 1 or margin < 0 or margin.denominator != 1 or margin > 64:
            raise _UnfitError("gives a picture that is no multiple of its input's size. Choose another net")
        return int(margin)

    def _takes_batches(self, sides: tuple[int, int]) -> bool:
        """Whether two pictures at a time give what each gives by itself."""
        two = self._try(*sides, number=2)
        if two is None:
            return False
        rng = np.random.default_rng(sides[0] * sides[1])
        lr = rng.random((2, self._channels, *sides), dtype=np.float32)
        return bool(np.abs(self._run(lr[1:]) - two[1:]).max() <= 1e-4 * max(1e-6, float(np.ptp(two))))

    # Values

    def _ranges(self, sides: tuple[int, int], scale: Fraction, margin: int) -> tuple[ValueRange, ValueRange, bool]:
        """The ranges that the net takes and gives: those with which a picture comes out as itself.

        What a net of 0..1 is told in 0..255 it takes for glare, and the other way round for darkness.
        """
        if self._stated.is_unit:
            return "unit", "unit", True
        types = self._file.picture.type, self._file.result.type
        lr = smooth(self._channels, *sides)
        errors: dict[tuple[ValueRange, ValueRange], float] = {}
        for given in _ranges_of(types[0]):
            factor, offset = FACTORS[given if types[0] != "uint8" else "unit"]
            try:
                answer = self._run((lr * factor + offset).astype(np.float32))
            except (RuntimeError, ValueError, MemoryError):
                continue
            for made in _ranges_of(types[1]):
                factor, offset = FACTORS[made if types[1] != "uint8" else "unit"]
                unit = shrunk((answer - offset) / factor, sides, scale, margin)
                errors[given, made] = float(np.abs(unit - lr).mean()) if np.isfinite(unit).all() else math.inf
        usual = next(iter(errors), None)
        if usual is None:
            return "unit", "unit", False
        best = min(errors, key=lambda one: errors[one])
        if errors[usual] > 0.05 and errors[best] < min(0.1, errors[usual] / 2):
            return *best, True
        return *usual, errors[usual] <= 0.1

    # How far it sees

    def _halo(self, scale: Fraction, multiple_of: int, least: int) -> tuple[int, bool, bool]:
        """(halo, whether it is the whole of what the net sees, whether the net looks at the whole picture)."""
        stated = self._stated
        if stated.halo is not None:
            return stated.halo, bool(stated.exact), bool(stated.sees_whole)
        side = next((side for macs, side in CHEAP if self._macs <= macs), COSTLY_SIDE)
        height, width = self._fixed or (least_of(multiple_of, least, side),) * 2
        edge = min(height, width) - EDGE
        reach, is_all, sees_whole = 0, True, False
        for lr in contents(self._channels, height, width, few=side == COSTLY_SIDE):
            seen, is_even = self._reach(lr, scale)
            reach, sees_whole = max(reach, seen), sees_whole or is_even
            if seen >= edge:
                is_all = False
                break
        if is_all and not self._fixed:
            near = self._nearness(reach, scale, multiple_of, height)
            if near is None or near >= 70:
                return reach, True, False
        if self._fixed:
            most = (min(height, width) - EDGE) // 4
            return (reach, True, False) if is_all and reach <= most else (min(reach, most), False, sees_whole)
        if sees_whole:
            return USUAL_HALO, False, True
        return self._close_enough(scale, multiple_of, height), False, False

    def _reach(self, lr: Batch, scale: Fraction) -> tuple[int, bool]:
        """LR pixels up to which a change shows, from near two corners: as far as the picture is wide; and whether it
        shows at the far end nearly as much as in the middle."""
        plain = self._run(lr)
        farthest, is_even = 0, False
        for y, x in ((4, 5), (lr.shape[2] - 6, lr.shape[3] - 5)):
            changed = lr.copy()
            changed[..., y, x] = 1 - changed[..., y, x]
            difference = np.abs(self._run(changed) - plain).max(axis=(0, 1))
            down, across = (
                np.abs(np.floor(np.arange(length) / float(scale)) - at)
                for length, at in zip(difference.shape, (y, x), strict=True)
            )
            distance = np.maximum(down[:, None], across)
            shows = difference > SILENT * difference.max()
            if shows.any():
                farthest = max(farthest, int(distance[shows].max()))
            side = min(lr.shape[2:])
            middle, end = (
                float(np.median(difference[(distance >= start * side) & (distance < (start + 0.1) * side)]))
                for start in (0.4, 0.8)
            )
            is_even = is_even or end > EVEN * middle > SILENT * float(difference.max())
            if farthest >= side - EDGE:  # from the other corner it would be no less
                break
        return farthest, is_even

    def _nearness(self, halo: int, scale: Fraction, multiple_of: int, side: int) -> float | None:
        """dB between the middle of a picture and what is computed of it with a halo; None where there is no room."""
        kept = multiple_of * max(1, 16 // multiple_of)
        around = math.ceil(halo / multiple_of) * multiple_of
        start = (side - kept) // 2 // multiple_of * multiple_of
        if start - around < 0 or start + kept + around > side:
            return None
        lr = textured(self._channels, side, side)
        window = slice(start - around, start + kept + around)
        if self._whole is None:
            self._whole = self._run(lr)
        whole = self._whole
        part = self._run(np.ascontiguousarray(lr[..., window, window]))
        first, length, inside = (int(scale * one) for one in (start, kept, around))
        difference = (
            part[..., inside : inside + length, inside : inside + length]
            - whole[..., first : first + length, first : first + length]
        )
        return float(-10 * np.log10(max(1e-20, np.square(difference.astype(np.float64)).mean())))

    def _close_enough(self, scale: Fraction, multiple_of: int, side: int) -> int:
        """The least halo that is near enough, for nets that see farther than can be computed each time."""
        found = 0
        for halo in (8, 16, 24, 32, 40, 56, 72):
            near = self._nearness(halo, scale, multiple_of, side)
            if near is None:
                break
            found = halo
            if near >= CLOSE_DB:
                break
        return found or USUAL_HALO


def least_of(multiple_of: int, least: int, near: int) -> int:
    """The least side that a net takes, of at least so many pixels."""
    return math.ceil(max(least, near) / multiple_of) * multiple_of


def _fixed_sides(file: OnnxFile) -> tuple[int, int] | None:
    height, width = file.picture.height, file.picture.width
    if height is None and width is None:
        return None
    if height is None or width is None:
        raise _UnfitError("takes one height and any width, or the other way round. Get a file where both are free")
    if min(height, width) < LEAST_FIXED:
        raise _UnfitError(
            f"takes windows of {width} x {height} pixels only, too small for tiles. "
            f"Get a file for {LEAST_FIXED} and more"
        )
    return height, width


def _ranges_of(kind: str) -> tuple[ValueRange, ...]:
    return ("levels",) if kind == "uint8" else cast("tuple[ValueRange, ...]", tuple(FACTORS))
