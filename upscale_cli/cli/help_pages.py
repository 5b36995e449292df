"""The pages of the main verb's help: a short one, for a terminal of 80 x 24, and one with every option.

Imports neither torch nor numpy, and rich when a page is printed.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

ROWS: Final = 24
WIDTH: Final = 80
"""Of a terminal that the short page fits, with the line for what is typed next."""

COMMANDS: Final = {
    "upscale INPUT...": "Upscale photos, clips and folders",
    "upscale compare A B": "Before and after: a web page, or clips side by side",
    "upscale eval FOLDER": "How good a model is: PSNR, SSIM, VMAF, LPIPS, NIQE",
    "upscale tune FILE": "How to upscale it here; bench: how fast each model is",
    "upscale export MODEL": "Nets for other programs: ONNX, OpenVINO, mpv",
    "upscale serve": "A page and a queue over HTTP; mcp: for assistants",
    "upscale models list": "What models there are; also info, search, fetch, path",
    "upscale doctor": "What this machine has, and what is wrong with it",
}
"""Command lines, and what they do; every verb is named."""

COMMON: Final = {
    "output": ("PLACE", "File, folder/, or -. Default: beside the input"),
    "format": ("NAME", "jpg, png, webp, tiff, avif, jxl; mp4, mkv, webm, ..."),
    "overwrite": ("", "Replace outputs that exist; never inputs"),
    "scale": ("N", "Times as wide and high. Default: 4; of clips 2"),
    "size": ("WxH", "Pixels to fit inside: 3840x2160, or 3840, or x2160"),
    "model": ("NAME", "Default: what suits each file, of what is here"),
    "recursive": ("", "Of a folder: the folders in it, too"),
    "gpu": ("N", "Which GPU: 0, or 0,1, or all; -1: the processor"),
    "compare": ("", "Also write a page that shows before and after"),
    "preview": ("SECONDS", "Of a clip: a short one, before and after side by side"),
}
"""The options that people use, by parameter: what their value is called, and what they do, in a line."""

_NAMES: Final = {
    "bool": "", "int": "N", "int range": "N", "float": "NUMBER", "float range": "NUMBER", "str": "TEXT",
    "list[str]": "TEXT", "list[int]": "N", "list[float]": "NUMBER",
}  # fmt: skip
"""What people call a value of a type of Python."""


def name_types(params: Iterable[Any]) -> None:
    """Values are called TEXT and N on help pages, where typer (0.29 and newer) shows types of Python: <list[str]>."""
    for param in params:
        shown = getattr(param, "display_type", None)
        if shown is not None and not hasattr(param, "typer_type"):
            param.typer_type = shown
            param.display_type = _naming(param)


def _naming(param: Any) -> Any:
    def named(ctx: Any) -> str:
        if param.param_type_name == "argument":
            return ""  # its name stands before it
        text = str(param.typer_type(ctx)).removeprefix("<").removesuffix(">")
        return _NAMES.get(text, text)

    return named


def print_short(params: Iterable[Any]) -> None:
    """What people use, on a page of a terminal."""
    from rich.text import Text

    by_name = {param.name: param for param in params}
    console = _console()
    usage = Text("Usage: upscale [OPTIONS] INPUT...", style="bold")
    usage.append("    upscale photo.jpg -s 4 -o large.png", style="not bold dim")
    console.print(usage)
    print_commands(console)
    _panel(console, "Options", _table(_flags(by_name, COMMON)), below="--help-all shows every option")


def print_commands(console: "Console | None" = None) -> None:
    """What verbs there are."""
    _panel(console or _console(), "Commands", _table(COMMANDS.items()))


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False)


def _flags(by_name: Mapping[str, Any], rows: Mapping[str, tuple[str, str]]) -> Iterable[tuple[str, str]]:
    for name, (value, about) in rows.items():
        short, *others = sorted(by_name[name].opts, key=len)
        long = others[-1:] if others else []
        yield f"{', '.join([short, *long])} {value}".rstrip(), about


def _table(rows: Iterable[tuple[str, str]]) -> "Table":
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    for name, about in rows:
        table.add_row(name, about)
    return table


def _panel(console: "Console", title: str, table: "Table", below: str | None = None) -> None:
    from rich.panel import Panel

    console.print(
        Panel(table, title=title, title_align="left", subtitle=below, subtitle_align="left", border_style="dim")
    )
