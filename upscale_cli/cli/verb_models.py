"""`upscale models list|archs|info|fetch|verify|path`."""

from typing import Annotated

import typer

from upscale_cli.cli.group import Verb, Verbs
from upscale_cli.cli.options import Json, Quiet, complete_model

models_app = typer.Typer(
    cls=Verbs, help="List, inspect, fetch and verify the models' checkpoints.", no_args_is_help=True
)

Names = Annotated[list[str], typer.Argument(metavar="MODEL", autocompletion=complete_model, show_default=False)]
AnyNames = Annotated[
    list[str] | None, typer.Argument(metavar="[MODEL]", autocompletion=complete_model, show_default=False)
]


@models_app.command("list", cls=Verb)
def models_list(as_json: Json = False) -> None:
    """Show every model: scales, size, licence, and whether it is on this machine."""
    from upscale_cli.cli import models_report

    models_report.show_list(as_json=as_json)


@models_app.command("archs", cls=Verb)
def models_archs(as_json: Json = False) -> None:
    """Show the architectures whose checkpoints are understood, those of plugins too."""
    from upscale_cli.cli import models_report
    from upscale_cli.cli.console import listening

    with listening(as_json=as_json) as listener:
        models_report.show_archs(listener, as_json=as_json)


@models_app.command("info", cls=Verb)
def models_info(
    name: Annotated[str, typer.Argument(metavar="MODEL", autocompletion=complete_model)], as_json: Json = False
) -> None:
    """Show all that is known of a model (or of a checkpoint file)."""
    from upscale_cli.cli import models_report
    from upscale_cli.cli.console import listening

    with listening(as_json=as_json):
        models_report.show_info(name, as_json=as_json)


@models_app.command("fetch", cls=Verb)
def models_fetch(names: Names, as_json: Json = False, quiet: Quiet = False) -> None:
    """Download the checkpoints of models, verified, ahead of time."""
    from upscale_cli.cli import models_report
    from upscale_cli.cli.console import listening

    with listening(as_json=as_json, quiet=quiet) as listener:
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
def models_path(names: AnyNames = None) -> None:
    """Print where checkpoints are looked for, or where those of a model are."""
    from upscale_cli.cli import models_report

    for path in models_report.paths(names or []):
        print(path)
