"""What makes a job the same job as one that was killed: the input's content, and what decides about a pixel."""

import hashlib
import io
from pathlib import Path
from typing import Any, Final

from upscale_cli._version import __version__
from upscale_cli.errors import InputError, printable
from upscale_cli.events import Say
from upscale_cli.files.work_folder import forget_job, job_in, under_keys, work_folder
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.finished_jobs import finished_job

_DIGEST_BYTES: Final = 2**18
_DIGEST_PIECES: Final = 64
"""Of a source: how large, and how many pieces of it tell two apart."""


ENGINES_KEY: Final = "its engine, if not torch"
"""Under which a job's record has the engines, by scale; none where they are torch as it always was."""


def keep_engines(upscaler: Upscaler, output: Path, target: Target, lr_size: tuple[int, int], say: Say) -> None:
    """Has a job that is to go on, or that was finished, keep the engines it was begun with.

    Where one of them is not here any more, what there is of the job is given up: its pixels would not fit the rest.

    Args:
        output: the file to be, or that is there.
        lr_size: (width, height) of the source.
    """
    folder = work_folder(output)
    recorded = job_in(folder) or finished_job(output)
    if recorded is None:
        return
    labels = recorded.get(ENGINES_KEY)
    known = {str(scale): str(label) for scale, label in labels.items()} if isinstance(labels, dict) else {}
    gone = upscaler.engines.keep(known, upscaler.plan(*lr_size, target).passes)
    if gone is not None and forget_job(folder):
        say(f"{printable(str(folder))} was begun with {gone}, which is not here now: this begins anew.")


def digest(source: Path | bytes) -> str:
    """Of a file's size, and of pieces from all over it: reading a whole film would take minutes.

    Raises:
        InputError: the file has gone since it was looked at.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else _opened(source) as stream:
        size = stream.seek(0, 2)
        sha256 = hashlib.sha256(str(size).encode())
        if size <= _DIGEST_BYTES * _DIGEST_PIECES:  # the pieces would overlap
            stream.seek(0)
            return hashlib.file_digest(stream, lambda: sha256).hexdigest()
        for number in range(_DIGEST_PIECES):
            stream.seek(max(0, size - _DIGEST_BYTES) * number // (_DIGEST_PIECES - 1))
            sha256.update(stream.read(_DIGEST_BYTES))
    return sha256.hexdigest()


def _opened(source: Path) -> io.BufferedReader:
    try:
        return source.open("rb")
    except FileNotFoundError as error:
        raise InputError(
            f"{printable(str(source))}: there is no such file any more. It was moved or removed meanwhile."
        ) from error


def requested_options(upscaler: Upscaler, target: Target, lr_size: tuple[int, int]) -> dict[str, Any]:
    """Model, its options, what runs it, and the size, each under the name that the user knows.

    Args:
        lr_size: (width, height) of the source.
    """
    engines = upscaler.engines.labels(upscaler.plan(*lr_size, target).passes)
    model = upscaler.identity()
    return {
        "its checkpoints": model.pop("checkpoints"),
        **({ENGINES_KEY: engines} if engines else {}),
        **under_keys(**model),
        **under_keys(
            scale=target.scale, box=target.box, stretch=target.stretch, long_side=target.long_side,
            megapixels=target.megapixels,
        ),
        "this program's version": __version__,
    }  # fmt: skip
