"""What tools answer, as values: an assistant gets their fields as structured content, by the schema that they are.

Without slots: the SDK would take their descriptors for default values.
"""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from upscale_cli.compare.thumbnail import Thumbnail

Facts_co = TypeVar("Facts_co", covariant=True)


@dataclass(frozen=True)
class Answer(Generic[Facts_co]):
    """Of one call of a tool: what is so, and small pictures to look at."""

    facts: Facts_co
    pictures: tuple[Thumbnail, ...] = ()


@dataclass(frozen=True)
class Failure:
    """A source without a result, or with a damaged one; why, in one line."""

    source: str
    why: str


@dataclass(frozen=True)
class ModelFacts:
    """A model: a row of the registry for each of its scales, or a checkpoint of the owner's.

    Attributes:
        scales: such as "x2 x4"; "" where that is known only once it is loaded.
        is_here: on this machine; what is not is fetched when it is first used, `size_bytes` of it.
        needs: what it wants beside the picture.
    """

    name: str
    scales: str
    is_here: bool
    size_bytes: int | None
    licence: str
    about: str
    needs: list[str]


@dataclass(frozen=True)
class ModelList:
    """What `model` may name, the best first; `folders` are those that files may lie in."""

    models: list[ModelFacts]
    best_for_photos: str
    folders: list[str]
    notes: list[str]


@dataclass(frozen=True)
class PlannedFile:
    """What would become of one source. Widths and heights are in pixels; 0 where unknown."""

    source: str
    output: str
    model: str
    width: int
    height: int
    output_width: int
    output_height: int
    frames: int | None


@dataclass(frozen=True)
class Plan:
    """What a call of `upscale` would do.

    Attributes:
        files: of a folder, the first hundred.
        count: how many there are.
        megapixels: million pixels to make, all frames counted.
        expected_seconds: 0 where it is too little to be worth measuring; None where unknown, as for folders.
        memory_bytes: of host memory at the worst moment; None where unknown.
        in_bands: memory does not hold the picture as a whole, so that it goes through in bands.
        to_fetch: files of checkpoints that would be fetched first.
    """

    files: list[PlannedFile]
    count: int
    megapixels: float
    expected_seconds: float | None
    memory_bytes: int | None
    in_bands: bool
    device: str
    why: str
    to_fetch: list[str]
    skipped: int
    failures: list[Failure]
    notes: list[str]


@dataclass(frozen=True)
class MadeFile:
    """A whole output; width and height in pixels."""

    source: str
    output: str
    width: int
    height: int
    frames: int
    seconds: float


@dataclass(frozen=True)
class Upscaled:
    """What `upscale` did.

    Attributes:
        files: outputs; of a folder, the first hundred.
        done, skipped, failed, left_alone: sources.
        skipped: those that were done before.
        left_alone: those that are large enough by `only_below`.
        models: what upscaled them, and where.
    """

    files: list[MadeFile]
    done: int
    skipped: int
    failed: int
    left_alone: int
    models: list[str]
    failures: list[Failure]
    notes: list[str]


@dataclass(frozen=True)
class Alikeness:
    """How alike two versions of a picture are: dB and SSIM of luma, dB of colour; None where it is not so measured, and
    for the dB of equal pictures."""

    picture: str
    before: str
    after: str
    is_equal: bool
    psnr_luma: float | None
    ssim_luma: float | None
    psnr_rgb: float | None
    largest_difference: float


@dataclass(frozen=True)
class Comparison:
    """A page, or a clip, that shows versions beside each other.

    Attributes:
        output: its file.
        pictures: in it; 0 for a clip.
        measured: versions that have one size.
    """

    output: str
    pictures: int
    measured: list[Alikeness]
    failures: list[Failure]
    notes: list[str]


@dataclass(frozen=True, kw_only=True)
class Score:
    """A model on one picture, or on the mean of several (`picture` is None): PSNR in dB, None where equal.

    Attributes:
        set: the folder.
        seconds: of upscaling, per picture.
    """

    set: str
    scale: int
    model: str
    picture: str | None
    pictures: int
    psnr_y: float | None = None
    ssim_y: float | None = None
    ms_ssim_y: float | None = None
    psnr_rgb: float | None = None
    ssim_rgb: float | None = None
    seconds: float
    megapixels_per_second: float | None


@dataclass(frozen=True)
class Evaluation:
    """How well models upscale: means over each set and scale, and each picture (the first hundred)."""

    means: list[Score]
    pictures: list[Score]
    failures: list[Failure]
    notes: list[str] = field(default_factory=list)
