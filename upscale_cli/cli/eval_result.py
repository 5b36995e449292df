"""The figures of `upscale eval`, as they are wanted: tables for people, JSON lines or CSV for programs."""

import csv
import io
import itertools
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.markup import escape

from upscale_cli.errors import OptionError, OutputError, printable
from upscale_cli.text import counted

if TYPE_CHECKING:
    from rich.table import Table

    from upscale_cli.evaluation.clips import ClipRow
    from upscale_cli.evaluation.rows import Row

STDOUT: Final = "-"
WIDEST: Final = 200
"""Characters of a line in a file."""

HEADINGS: Final = {
    "psnr_y": "PSNR", "ssim_y": "SSIM", "ms_ssim_y": "MS-SSIM", "psnr_rgb": "PSNR rgb", "ssim_rgb": "SSIM rgb",
    "lpips": "LPIPS", "dists": "DISTS", "arniqa": "ARNIQA", "niqe": "NIQE", "vmaf": "VMAF", "vmaf_neg": "VMAF-NEG",
    "xpsnr": "XPSNR", "ssim_float": "SSIM float",
}  # fmt: skip
"""Columns by metric; those of luma are the field's and need no label."""

DECIMALS: Final = {"psnr_y": 2, "psnr_rgb": 2, "niqe": 2, "vmaf": 2, "vmaf_neg": 2, "xpsnr": 2}
"""What the field prints; all others have four."""

OVER: Final = {"mean": "mean", "harmonic": "harmonic mean", "worst": "worst 1 %"}
"""What the values of a clip's frames come to."""


class Result:
    """The rows, as they are wanted: tables for people, JSON lines or CSV for programs.

    Raises:
        OptionError: two things want standard output.
        OutputError: the CSV file exists already.
    """

    def __init__(self, csv_file: str | None, *, overwrite: bool, as_json: bool, per_picture: bool) -> None:
        if as_json and csv_file == STDOUT:
            raise OptionError("--json and --csv - both want standard output. Give --csv a file name.")
        self._csv, self._overwrite = csv_file, overwrite
        self._as_json, self._per_picture = as_json, per_picture
        self._records: list[dict[str, Any]] = []
        self._told: dict[str, None] = {}
        if csv_file not in (None, STDOUT) and not overwrite and os.path.lexists(csv_file or ""):
            raise OutputError(f"{csv_file}: exists already. Give --overwrite to replace it, or another --csv.")

    @property
    def is_empty(self) -> bool:
        return not self._records

    def add(self, rows: "list[Row]") -> None:
        """One set at one scale: shown at once."""
        from upscale_cli.evaluation.rows import means

        shown = [*(rows if self._per_picture else ()), *means(rows)]
        events = ["mean" if row.picture is None else "score" for row in shown]
        self._show(events, [row.as_record() for row in shown], lambda: table(shown))

    def add_clips(self, rows: "list[ClipRow]") -> None:
        """One clip at one scale: shown at once."""
        from upscale_cli.evaluation.clips import as_record, frame_records

        frames = [record for row in rows for record in frame_records(row)] if self._per_picture else []
        events = ["frame"] * len(frames) + ["clip"] * len(rows)
        self._show(events, [*frames, *map(as_record, rows)], lambda: clip_table(rows))

    def _show(self, events: list[str], records: list[dict[str, Any]], make: "Callable[[], Table]") -> None:
        self._records += records
        if self._as_json:
            for event, record in zip(events, records, strict=True):
                print(json.dumps({"event": event, **record}), flush=True)
        elif self._csv != STDOUT and records:
            _print(make())

    def say(self, convention: str) -> None:
        """How the figures came about, once, below the tables."""
        self._told[convention] = None

    def finish(self) -> None:
        """Writes what waits for the end."""
        if self._csv == STDOUT:
            sys.stdout.write(_as_csv(self._records))
        elif self._csv is not None:
            self._write_csv(Path(self._csv))
        if self._records and not self._as_json and self._csv != STDOUT:
            for convention in self._told:
                _print(convention)

    def _write_csv(self, path: Path) -> None:
        from upscale_cli.files.atomic_file import move_into_place

        part = path.with_name(f".{path.name}.part")
        try:
            part.write_text(_as_csv(self._records), encoding="utf-8", newline="")
            move_into_place(part, path, overwrite=self._overwrite)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror}). Choose another --csv.") from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _as_csv(records: Sequence[dict[str, Any]]) -> str:
    """A header, then a line per row; a mean has no picture, and a figure that is not there is empty."""
    names = dict.fromkeys(name for record in records for name in record)
    text = io.StringIO()
    writer = csv.DictWriter(text, [*names], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def table(rows: "Sequence[Row]") -> "Table":
    """One set at one scale; rows of pictures, if there are any, above those of means."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    first, pictures = rows[0], max(row.pictures for row in rows)
    metrics = list(rows[-1].values)
    has_pictures = any(row.picture is not None for row in rows)
    scale = f" x{first.scale}" if first.scale > 1 else ""
    title = printable(f"{first.group}{scale}, {counted(pictures, 'picture')}")
    shown = Table(title=escape(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in (*(["picture"] if has_pictures else []), "model"):
        shown.add_column(name)
    for name in (*(HEADINGS[metric] for metric in metrics), "s", "MP/s"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row, following in itertools.zip_longest(rows, rows[1:]):
        missing = f" ({row.pictures} of {pictures})" if row.picture is None and row.pictures < pictures else ""
        names = [*([row.picture or "mean"] if has_pictures else []), f"{row.model}{missing}"]
        figures = [_figure(row.values[metric], DECIMALS.get(metric, 4)) for metric in metrics]
        speed = [_figure(row.seconds or None, 3), _figure(row.megapixels_per_second, 2)]
        ends = following is None or following.picture != row.picture
        shown.add_row(*map(escape, map(printable, names)), *figures, *speed, end_section=ends)
    return shown


def clip_table(rows: "Sequence[ClipRow]") -> "Table":
    """One clip at one scale: three rows for each model."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from upscale_cli.evaluation.clips import POOLINGS

    first = rows[0]
    scale = f" x{first.scale}" if first.scale > 1 else ""
    title = printable(f"{first.clip}{scale}, {counted(first.frames, 'frame')}")
    shown = Table(title=escape(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("model", "over the frames"):
        shown.add_column(name)
    steady = ("steadiness", "ratio") if first.steadiness is not None else ()
    for name in (*(HEADINGS[metric] for metric in first.values), *steady, "s", "frames/s"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        for pooling in POOLINGS:
            figures = [_figure(row.pooled(metric, pooling), DECIMALS.get(metric, 4)) for metric in row.values]
            is_first, is_last = pooling == POOLINGS[0], pooling == POOLINGS[-1]
            if found := row.steadiness:
                figures += [_figure(found.difference, 3), _figure(found.ratio, 3)] if is_first else ["", ""]
            speed = [_figure(row.seconds or None, 3), _figure(row.frames_per_second, 2)] if is_first else ["", ""]
            name = escape(printable(row.model)) if is_first else ""
            shown.add_row(name, OVER[pooling], *figures, *speed, end_section=is_last)
    return shown


def _figure(value: float | None, decimals: int) -> str:
    return "n/a" if value is None else f"{value:.{decimals}f}"


def _print(renderable: "Table | str") -> None:
    """On standard output. A table is never narrower than it needs: a terminal wraps a line, but shows all of it."""
    from rich.console import Console

    wide = Console(file=sys.stdout, highlight=False, width=WIDEST)
    if not sys.stdout.isatty():
        wide.print(renderable)
        return
    narrow = Console(file=sys.stdout, highlight=False)
    fits = isinstance(renderable, str) or wide.measure(renderable).maximum <= narrow.width
    (narrow if fits else wide).print(renderable)
