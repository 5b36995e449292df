"""What would become of one source, as a value: sizes, names, and what it is likely to take."""

from dataclasses import dataclass

from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.job import Expected, Job, sr_size
from upscale_cli.jobs.plan import Prepared
from upscale_cli.models.registry import MODELS
from upscale_cli.models.store import locate


@dataclass(frozen=True, slots=True)
class FilePlan:
    """What would be done with a source.

    Attributes:
        model: what would upscale it, and `why`; `device` names where.
        width, height: of the source, in pixels; of a book, of its first page. 0 where unknown.
        sr_width, sr_height: of the output.
        frames: frames or pages of the output; None where unknown.
        megapixels: million pixels of the output, all frames counted.
        missing: files of checkpoints that are not on this machine yet; with one, nothing is `expected`.
        expected: what it is likely to take.
    """

    source: str
    output: str
    model: str
    why: str
    device: str
    width: int
    height: int
    sr_width: int
    sr_height: int
    frames: int | None
    megapixels: float
    missing: tuple[str, ...]
    expected: Expected


def plan_of(prepared: Prepared) -> FilePlan:
    """
    Raises:
        UpscaleError: it could not be done.
    """
    job, upscaler = prepared.job, prepared.upscaler
    missing = missing_checkpoints(upscaler, job) if all(job.lr_size) else ()
    return FilePlan(
        job.name, job.output_name, upscaler.name, prepared.why or upscaler.why, upscaler.device_names, *job.lr_size,
        *sr_size(job), job.frames, job.megapixels, missing, Expected() if missing else job.expected(upscaler),
    )  # fmt: skip


def missing_checkpoints(upscaler: Upscaler, job: Job) -> tuple[str, ...]:
    """The files of the registry that a job takes and that are not on this machine."""
    sums = set(upscaler.checksums_of(upscaler.plan_of_any(*job.lr_size, job.target)).values())
    return tuple(spec.file for spec in MODELS if spec.sha256 in sums and locate(spec) is None)
