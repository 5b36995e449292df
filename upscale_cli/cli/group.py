"""The command group: everything that is not a verb belongs to the main verb, `upscale photo.jpg -s 4`."""

from collections.abc import Mapping
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from upscale_cli.cli import help_pages
from upscale_cli.cli.flags import flag_of, in_flags, without
from upscale_cli.cli.unknown_words import FOREIGN
from upscale_cli.cli.wrong_values import explained
from upscale_cli.errors import InterruptedRun, UpscaleError
from upscale_cli.messages import Message

MAIN_VERB: Final = "(input)"
"""The verb that is meant where none is named; it is never typed, and no message shows it."""

GROUP_OPTIONS: Final = ("--install-completion", "--show-completion")


def _with_values(args: list[str]) -> list[str]:
    """Options that may stand alone get the value that they then mean.

    >>> _with_values(["a.mp4", "--realtime", "--ray", "-o", "b.mp4"])
    ['a.mp4', '--realtime=file', '--ray=auto', '-o', 'b.mp4']
    """
    names = args.index("--") if "--" in args else len(args)  # what follows is a file, even if it looks like an option
    valued = list(args)
    for at, (word, following) in enumerate(zip(args[:names], [*args[1:], "-"], strict=False)):
        if word == "--realtime":
            valued[at] = "--realtime=file"
        elif word == "--ray" and following.startswith("-"):
            valued[at] = "--ray=auto"
    return valued


class Verb(TyperCommand):
    """A verb: it answers a wrong word in one line, and its help calls values what people call them."""

    others: Mapping[str, str] = {}
    """Options of other programs, and what to use here."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        with explained(ctx, args, self.get_params(ctx), self.others):
            return super().parse_args(ctx, list(args))

    def invoke(self, ctx: Any) -> Any:
        """Runs it; what fails speaks of flags that it has, or says whose they are."""
        root = ctx.find_root().command
        of_main = root.commands[MAIN_VERB] if isinstance(root, TyperGroup) else self
        with without(_flags(of_main) - _flags(self) - {flag_of("model")}):  # who has no -m takes models by themselves
            try:
                return super().invoke(ctx)
            except UpscaleError as error:
                error.message = Message(in_flags(error.message))
                raise

    def format_help(self, ctx: Any, formatter: Any) -> None:
        help_pages.name_types(self.get_params(ctx))
        super().format_help(ctx, formatter)


def _flags(verb: Any) -> set[str]:
    return {flag for parameter in verb.params for flag in (*parameter.opts, *parameter.secondary_opts)}


class Verbs(TyperGroup):
    """A group of verbs, with help and answers as theirs."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        with explained(ctx, args, self.get_params(ctx), {}):
            return super().parse_args(ctx, list(args))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        with explained(ctx, args, self.get_params(ctx), {}):
            return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        help_pages.name_types(self.get_params(ctx))
        super().format_help(ctx, formatter)


class PathDecides(Verbs):
    """A group in which everything that is not a verb belongs to the main verb: `upscale photo.jpg -s 4`."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        args = _with_values(args)
        if not args and not ctx.resilient_parsing:
            args = ["--help"]
        if args and args[0] not in GROUP_OPTIONS and args[0] not in self.commands:
            args = [MAIN_VERB, *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise InterruptedRun from error


class NamelessContext(typer.Context):
    """Keeps the main verb's name out of usage lines: `upscale [OPTIONS] INPUT...`."""

    @property
    def command_path(self) -> str:
        return self.parent.command_path if self.parent else ""


class MainVerb(Verb):
    """The verb without a name. Its help is short: a page for the options that people use, and another one for all."""

    context_class = NamelessContext
    others = FOREIGN

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  # by typer's name for it
        help_pages.print_short(self.get_params(ctx))

    def print_all(self, ctx: Any) -> None:
        """Every option, after the verbs."""
        help_pages.print_commands()
        super().format_help(ctx, ctx.make_formatter())
