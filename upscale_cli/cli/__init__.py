"""Options in, exit code out. `upscale INPUT...` is the main verb; the others: tune, bench, models, eval, compare,
export, serve, mcp, doctor.

One file per verb, and each imports what it calls inside its function: neither torch nor numpy is needed for `--help`.
"""

import errno
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Annotated

import typer

from upscale_cli.cli.flags import in_flags
from upscale_cli.cli.group import MAIN_VERB, MainVerb, PathDecides, Verb
from upscale_cli.cli.lines import put_error
from upscale_cli.cli.options import Json
from upscale_cli.cli.verb_compare import compare
from upscale_cli.cli.verb_eval import evaluate
from upscale_cli.cli.verb_export import export
from upscale_cli.cli.verb_mcp import mcp
from upscale_cli.cli.verb_models import models_app
from upscale_cli.cli.verb_serve import serve
from upscale_cli.cli.verb_tune import bench, tune
from upscale_cli.cli.verb_upscale import upscale
from upscale_cli.errors import OptionError, UpscaleError, causes_of
from upscale_cli.inference.cgroups import allowed, processors
from upscale_cli.text import cause_lines

app = typer.Typer(
    cls=PathDecides, rich_markup_mode="rich", pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.command(
    MAIN_VERB,
    cls=MainVerb,
    hidden=True,
    epilog="Tab completion: upscale --install-completion. A file named like a verb: ./doctor.",
)(upscale)
app.command("eval", cls=Verb)(evaluate)
app.command("compare", cls=Verb)(compare)
app.command("export", cls=Verb)(export)
app.command("tune", cls=Verb)(tune)
app.command("bench", cls=Verb)(bench)
app.command("serve", cls=Verb)(serve)
app.command("mcp", cls=Verb)(mcp)
app.add_typer(models_app, name="models")


@app.command(cls=Verb)
def doctor(
    as_json: Json = False,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray", metavar="[ADDRESS]", show_default=False,
            help="Check a Ray cluster instead: nodes, versions, models, logs. HOST:PORT of its head, or auto.",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder", metavar="FOLDER", show_default=False, help="With --ray: whether all nodes see this folder."
        ),
    ] = None,
) -> None:  # fmt: skip
    """Check this machine: versions, devices, precision, ffmpeg, weights."""
    from upscale_cli.cli.doctor import examine, examine_ray, show

    if ray is None and folder is not None:
        raise OptionError("--folder goes with --ray only. Give both, or neither.")
    findings = examine() if ray is None else examine_ray(ray, folder)
    show(findings, as_json=as_json)
    if ray is not None and any(finding.state == "problem" for finding in findings):
        raise typer.Exit(1)


def main() -> None:
    """The console script: runs the command line and ends the process with its exit code."""
    _make_termination_clean()
    _make_streams_safe()
    _make_threads_polite()
    called = PurePath(sys.argv[0]).stem
    try:
        _check_current_folder()
        try:
            app(prog_name=called if called == "upscale-cli" else "upscale")
        except SystemExit as end:
            if not end.code:
                sys.stdout.flush()  # what is lost only now is lost all the same
            raise
    except UpscaleError as error:
        put_error(f"error: {in_flags(error.message)}")
        if "-v" in sys.argv or "--verbose" in sys.argv:
            for line in cause_lines(causes_of(error)):
                put_error(line)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.filename is not None:
            raise  # a file's failures are reported where they arise: this is a bug
        with suppress(OSError):
            if error.errno != errno.EPIPE:  # a reader that has enough leaves: no error worth a line
                print(f"error: standard output cannot be written ({error.strerror}).", file=sys.stderr)
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  # or Python tries to flush it again at exit
        sys.exit(1)


def _check_current_folder() -> None:
    """Libraries that look for their own files do not survive a deleted current folder."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise OptionError("the current folder is gone. Change to one that exists.") from error


def _make_termination_clean() -> None:
    """SIGTERM and a closed terminal unwind like Ctrl-C, so that temporary files go."""

    def terminate(signum: int, _frame: object) -> None:
        sys.exit(128 + signum)

    for name in ("SIGTERM", "SIGHUP"):
        with suppress(ValueError, AttributeError):  # not the main thread, or no such signal here
            number = getattr(signal, name)
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
                signal.signal(number, terminate)


def _make_threads_polite() -> None:
    """Waiting threads of torch sleep. By default they spin, and while an encoder wants the same cores, a frame of ESPCN
    was measured to take seven times as long. In a container there are as many of them as it gets processors: more would
    all be stopped together, once its share of the time is used up. It has to be set before torch is loaded."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if (there := processors()) < allowed():
        os.environ.setdefault("OMP_NUM_THREADS", str(there))


def _make_streams_safe() -> None:
    """What the terminal's encoding lacks is shown escaped and ends no run. A closed standard output stays one that
    cannot be written, so that nothing is lost there unnoticed; its number is taken, lest a file gets it."""
    if sys.stdout is None:
        number = os.open(os.devnull, os.O_RDONLY if os.name == "posix" else os.O_WRONLY)
        sys.stdout = open(number, "w")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
