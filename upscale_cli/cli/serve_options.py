"""The options of `upscale serve`, in groups. Imports neither torch nor FastAPI."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from upscale_cli.cli.options import Device, Engine

ADDRESS: Final = "Address"
ACCESS: Final = "What clients may do"
LIMITS: Final = "Limits"
WATCHED: Final = "Watched folders"
WORK: Final = "Work"

_in_address = partial(typer.Option, rich_help_panel=ADDRESS)
_in_access = partial(typer.Option, rich_help_panel=ACCESS)
_in_limits = partial(typer.Option, rich_help_panel=LIMITS)
_in_watched = partial(typer.Option, rich_help_panel=WATCHED)
_in_work = partial(typer.Option, rich_help_panel=WORK)


@dataclass(kw_only=True)
class AddressGroup:
    """Where the service is, and who may call it."""

    host: Annotated[str, _in_address("--host", help="What to bind. Others than this machine need the token.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, _in_address("--port", help="0: any that is free.")] = 8477
    token: Annotated[
        str | None,
        _in_address(
            "--token", envvar="UPSCALE_SERVE_TOKEN", show_default=False,
            help="What clients have to send. Default: one is made where others than this machine can ask.",
        ),
    ] = None  # fmt: skip
    allow_host: Annotated[
        list[str] | None,
        _in_address(
            "--allow-host", metavar="NAME", show_default=False,
            help="A name that it is called by, such as that of a reverse proxy. Repeat for several.",
        ),
    ] = None  # fmt: skip
    trust_proxy: Annotated[
        list[str] | None,
        _in_address(
            "--trust-proxy", metavar="ADDRESS", show_default=False,
            help="A reverse proxy, or a network of them, whose X-Forwarded-* is believed. Repeat for several.",
        ),
    ] = None  # fmt: skip


@dataclass(kw_only=True)
class AccessGroup:
    """What clients may name, in addition to what they send."""

    allow_folder: Annotated[
        list[Path] | None,
        _in_access(
            "--allow-folder", metavar="FOLDER", show_default=False,
            help="Files below it may be named as inputs. Repeat for several.",
        ),
    ] = None  # fmt: skip
    allow_url: Annotated[
        list[str] | None,
        _in_access(
            "--allow-url", metavar="HOST", show_default=False,
            help="Inputs may be fetched from it, and webhooks sent there; *: any public one.",
        ),
    ] = None  # fmt: skip


@dataclass(kw_only=True)
class WatchGroup:
    """What is done without being asked for."""

    watch_folder: Annotated[
        list[Path] | None,
        _in_watched(
            "--watch-folder", metavar="FOLDER", show_default=False,
            help="What is in it, and what comes, is upscaled, as by `upscale FOLDER -r --watch`. Repeat for several.",
        ),
    ] = None  # fmt: skip
    watch_output: Annotated[
        Path | None,
        _in_watched(
            "--watch-output", metavar="FOLDER", show_default=False,
            help="Where results go, by the same tree. Default: next to the inputs.",
        ),
    ] = None  # fmt: skip
    watch_options: Annotated[
        str,
        _in_watched(
            "--watch-options", metavar="JSON", show_default=False,
            help="What is done, as options of a job: '{\"model\": \"espcn\", \"target\": {\"scale\": 2}}'.",
        ),
    ] = "{}"  # fmt: skip


@dataclass(kw_only=True)
class LimitsGroup:
    """How much is taken, and kept."""

    max_upload: Annotated[
        str, _in_limits("--max-upload", metavar="GB", help="Largest input; with a unit, too: 500M.")
    ] = "8"
    max_pixels: Annotated[int, _in_limits("--max-pixels", help="Most pixels of a frame of an input.")] = 10**9
    max_result_pixels: Annotated[int, _in_limits("--max-result-pixels", help="Most pixels of a frame of a result.")] = (
        10**9
    )
    max_queue: Annotated[int, _in_limits("--max-queue", help="Most jobs that wait or run.")] = 1000
    max_streams: Annotated[int, _in_limits("--max-streams", help="Most open streams of events.")] = 200
    min_free: Annotated[str, _in_limits("--min-free", metavar="GB", help="What stays free on the disk.")] = "1"
    keep_days: Annotated[float, _in_limits("--keep-days", help="How long jobs that have ended are kept.")] = 7.0
    keep_size: Annotated[
        str, _in_limits("--keep-size", metavar="GB", help="What they may take together; the oldest go first.")
    ] = "50"


@dataclass(kw_only=True)
class WorkGroup:
    """Where things lie, and what does the jobs."""

    data: Annotated[
        Path | None,
        _in_work(
            "--data", metavar="FOLDER", show_default=False,
            help="Where queue, inputs and results lie. Default: in the user's data folder.",
        ),
    ] = None  # fmt: skip
    device: Device = "auto"
    worker: Annotated[
        list[str] | None,
        _in_work(
            "--worker", metavar="DEVICE", show_default=False,
            help="A worker for it, instead of --device. Repeat for several.",
        ),
    ] = None  # fmt: skip
    engine: Engine = "auto"
    ray: Annotated[
        str | None,
        _in_work(
            "--ray", metavar="[ADDRESS]", show_default=False,
            help="A Ray cluster does the jobs. HOST:PORT of its head, or auto.",
        ),
    ] = None  # fmt: skip
    jobs: Annotated[
        int | None,
        _in_work("-j", "--jobs", min=1, show_default=False, help="Photos at a time in each worker."),
    ] = None
    max_memory: Annotated[
        str | None,
        _in_work(
            "--max-memory", metavar="GB", show_default=False,
            help="Memory that a worker may take. Default: what is free.",
        ),
    ] = None  # fmt: skip
