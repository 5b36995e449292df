"""`upscale models list|archs|info|search|fetch|verify|path`."""

from pathlib import Path
from typing import Annotated

import typer

from upscale_cli.cli.group import Verb, Verbs
from upscale_cli.cli.licences import ask_for_licences
from upscale_cli.cli.options import Json, Quiet, complete_model

models_app = typer.Typer(
    cls=Verbs, help="List, inspect, fetch and verify the models' checkpoints.", no_args_is_help=True
)

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL", autocompletion=complete_model, show_default=False,
        help="Names that `upscale models list` or `search` show.",
    ),
]  # fmt: skip
AnyNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL", autocompletion=complete_model, show_default=False,
        help="As -m takes it.",
    ),
]  # fmt: skip


@models_app.command("list", cls=Verb)
def models_list(as_json: Json = False) -> None:
    """Show every model: scales, size, licence, whether it is here; your own checkpoints, too."""
    from upscale_cli.cli import models_report
    from upscale_cli.cli.console import listening

    with listening(as_json=as_json) as listener:
        models_report.show_list(listener, as_json=as_json)


@models_app.command("archs", cls=Verb)
def models_archs(as_json: Json = False) -> None:
    """Show the architectures whose checkpoints are understood, those of plugins too."""
    from upscale_cli.cli import models_report
    from upscale_cli.cli.console import listening

    with listening(as_json=as_json) as listener:
        models_report.show_archs(listener, as_json=as_json)


@models_app.command("info", cls=Verb)
def models_info(
    name: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            autocompletion=complete_model,
            show_default=False,
            help="As -m takes it: a name, omdb:ID, or a checkpoint.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Show all that is known of a model (or of a checkpoint file)."""
    from upscale_cli.cli import models_report
    from upscale_cli.cli.console import listening

    with listening(as_json=as_json) as listener:
        models_report.show_info(name, listener, as_json=as_json)


@models_app.command("search", cls=Verb)
def models_search(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="WORD", show_default=False, help="In name, author, tags or net.")
    ] = None,
    scale: Annotated[int | None, typer.Option("-s", "--scale", min=1, show_default=False, help="Of the model.")] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            "--licence", "--license", show_default=False,
            help="free (stated, commercial use allowed), non-commercial, or the beginning of a licence's id.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Search the models of OpenModelDB, which have names for -m: omdb:4x-..."""
    from upscale_cli.cli import zoo_report
    from upscale_cli.cli.console import listening

    with listening(as_json=as_json) as listener:
        zoo_report.show_search(words or [], scale, licence, listener, as_json=as_json)


@models_app.command("fetch", cls=Verb)
def models_fetch(
    names: Names,
    yes: Annotated[bool, typer.Option("--yes", help="Agree to licences that forbid commercial use.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Download the checkpoints of models, verified, ahead of time."""
    from upscale_cli.cli import models_report
    from upscale_cli.cli.console import listening

    with listening(as_json=as_json, quiet=quiet) as listener:
        ask_for_licences(names, listener, yes=yes, has_yes=True)
        models_report.fetch_all(names, listener)


@models_app.command("verify", cls=Verb)
def models_verify(names: AnyNames = None, as_json: Json = False) -> None:
    """Compare the checkpoints on this machine with their pinned sha256."""
    from upscale_cli.cli import models_report
    from upscale_cli.cli.console import listening

    with listening(as_json=as_json):
        good = models_report.verify(names or [], as_json=as_json)
    if not good:
        raise typer.Exit(1)


@models_app.command("path", cls=Verb)
def models_path(
    names: AnyNames = None,
    add: Annotated[
        Path | None,
        typer.Option("--add", metavar="FOLDER", show_default=False,
                     help="Look there from now on: a folder with checkpoints, or that of ComfyUI or a web UI."),
    ] = None,
    forget: Annotated[
        Path | None, typer.Option("--forget", metavar="FOLDER", show_default=False, help="Undo --add.")
    ] = None,
) -> None:  # fmt: skip
    """Print where checkpoints are looked for, or where those of a model are."""
    from upscale_cli.cli import models_report

    models_report.change_folders(add, forget)
    for path in models_report.paths(names or []):
        print(path)
