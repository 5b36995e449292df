"""The verb `upscale mcp`: which folders an assistant may touch. Imports neither torch nor numpy."""

from pathlib import Path
from typing import Annotated

import typer

from upscale_cli.errors import OptionError


def mcp(
    folder: Annotated[
        list[Path] | None,
        typer.Option(
            "--folder", metavar="DIR", show_default=False,
            help="May be read and written, with all that lies in it; repeatable. Default: the current folder.",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Serve assistants (Model Context Protocol, on standard input and output): models, plan, upscale, compare, eval.

    An assistant starts it by itself, with [bold]upscale mcp --folder ~/Pictures[/bold] in its configuration.
    """
    from upscale_cli.assistant.allowed import Allowed

    allowed = Allowed(folder or ())
    try:
        from upscale_cli.assistant.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("mcp", "pydantic", "anyio"):
            raise
        raise OptionError("upscale mcp needs the extra mcp. Install it with: pip install 'upscale-cli[mcp]'") from error
    serve(allowed)
