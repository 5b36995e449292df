"""What is wrong with a word of the command line, in one line of our own: value, rule, remedy.

The parser's own words come in a box, and name its types. Its exceptions are told apart by their names, because typer
brings a parser of its own since 0.29 and took click's before. Imports neither torch nor numpy.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, get_args

from upscale_cli.cli.unknown_words import NEAR, answer_to
from upscale_cli.errors import OptionError, printable

NUMBERS: Final[Mapping[str, type]] = {
    "float": float, "float range": float, "int": int, "integer": int, "integer range": int, "int range": int,
}  # fmt: skip
"""What click calls a type of numbers."""

EXAMPLE: Final = 4


@contextmanager
def explained(ctx: Any, args: Sequence[str], params: Sequence[Any], others: Mapping[str, str]) -> Iterator[None]:
    """Turns what the parser refuses into an `OptionError` of one line.

    Args:
        args: the words that are parsed.
        params: of the command.
        others: options of other programs, and what to use here.

    Raises:
        OptionError: the parser refuses a word.
    """
    _check_hyphens(args, params)
    try:
        yield
    except Exception as error:
        kind = next((base.__name__ for base in type(error).__mro__ if base.__name__ in _ANSWERS), None)
        if kind is None or isinstance(error, OptionError):
            raise
        raise OptionError(_ANSWERS[kind](_Refused(error, ctx, list(args), params, others))) from error


def _check_hyphens(args: Sequence[str], params: Sequence[Any]) -> None:
    """Refuses a long option with one hyphen: the parser would take -scale for -s with the value "cale".

    Raises:
        OptionError: there is one.
    """
    known = {flag: param for param in params for flag in param.opts}
    before = None
    for word in args[: args.index("--") if "--" in args else None]:
        long = f"-{word.partition('=')[0]}"
        if long.startswith("--") and long in known and (before is None or getattr(before, "is_flag", False)):
            raise OptionError(f"{printable(word)}: long options have two hyphens. Write {long}.")
        before = known.get(word)


@dataclass(frozen=True, slots=True)
class _Refused:
    """What the parser has refused, and where."""

    error: Any
    ctx: Any
    args: list[str]
    params: Sequence[Any]
    others: Mapping[str, str]

    @property
    def command(self) -> str:
        """As it is typed."""
        return " ".join(str(self.ctx.command_path).split()) or "upscale"

    @property
    def arguments(self) -> list[str]:
        """What stands without an option, by name."""
        named = (param for param in self.params if param.param_type_name == "argument")
        return [str(param.metavar or str(param.name).upper()) for param in named]

    def param(self, flag: str) -> Any:
        return next((param for param in self.params if flag in (*param.opts, *param.secondary_opts)), None)


def _unknown(refused: _Refused) -> str:
    known = [name for param in refused.params for name in (*param.opts, *param.secondary_opts)]
    return answer_to(str(refused.error.option_name), refused.args, known, refused.others)


def _misused(refused: _Refused) -> str:
    """An option without its value, or a switch with one."""
    flag = str(refused.error.option_name)
    param = refused.param(flag)
    if param is None or getattr(param, "is_flag", False):
        return f"{flag}: takes no value. Write {flag} alone."
    return f"{flag}: its value is missing. Write {flag} {_value_name(param)}."


def _missing(refused: _Refused) -> str:
    param = refused.error.param
    if param is not None and param.param_type_name != "argument":
        name = f"{param.opts[-1]} {_value_name(param)}"
        return f"{name} is missing. Write `{refused.command} {name}`."
    return f"nothing is named. Write `{' '.join((refused.command, *refused.arguments))}`."


def _wrong(refused: _Refused) -> str:
    """A value that is of another kind, out of range, or none of the choices."""
    param = refused.error.param
    if param is None or param.param_type_name == "argument":
        return _otherwise(refused)
    flag, value = _given(param, refused.args)
    if choices := _choices(param):
        *first, last = choices
        near = difflib.get_close_matches(value.lower(), choices, n=1, cutoff=NEAR)
        hint = f"Choose {', '.join(first)} or {last}."
        hint += f" Did you mean {near[0]}?" if near else ""
        return f"{flag} {printable(value)}: is none of its choices. {hint}"
    number, least, most = _number(param), param.min, param.max
    if number is None:
        return _otherwise(refused)
    rule = "a whole number" if number is int else "a number"
    if least is not None:
        rule += f" from {least:g} to {most:g}" if most is not None else f" of at least {least:g}"
    elif most is not None:
        rule += f" of at most {most:g}"
    is_bounded = least is not None or most is not None
    hint = "Choose another." if is_bounded else f"Write one, such as {flag} {EXAMPLE}."
    return f"{flag} {printable(value)}: is not {rule}. {hint}"


def _otherwise(refused: _Refused) -> str:
    """Everything else, which has no option in it: too many words, an unknown verb of a group."""
    verbs = sorted(getattr(refused.ctx.command, "commands", ()))
    unknown = next((word for word in refused.args if not word.startswith("-")), "")
    if verbs and unknown and unknown not in verbs:
        near = difflib.get_close_matches(unknown.lower(), verbs, n=1, cutoff=NEAR)
        hint = f"Did you mean `{refused.command} {near[0]}`?" if near else f"Choose {', '.join(verbs)}."
        return f"{printable(unknown)}: is no verb of `{refused.command}`. {hint}"
    return f"more words are given than it takes. Write `{' '.join((refused.command, *refused.arguments))}`."


_ANSWERS: Final[Mapping[str, Callable[[_Refused], str]]] = {
    "NoSuchOption": _unknown,
    "BadOptionUsage": _misused,
    "MissingParameter": _missing,
    "BadParameter": _wrong,
    "UsageError": _otherwise,
}
"""By the names of the parser's exceptions, the most special first, as their classes inherit."""


def _given(param: Any, args: Sequence[str]) -> tuple[str, str]:
    """(option, value) as typed: of an option that is repeated the first value that does not fit."""
    found: list[tuple[str, str]] = []
    for at, word in enumerate(args):
        for flag in (*param.opts, *param.secondary_opts):
            if word == flag and at + 1 < len(args):
                found.append((flag, args[at + 1]))
            elif flag.startswith("--") and word.startswith(f"{flag}="):
                found.append((flag, word.partition("=")[2]))
            elif not flag.startswith("--") and word.startswith(flag) and word != flag and not word.startswith("--"):
                found.append((flag, word[len(flag) :]))
    wrong = [one for one in found if not _fits(param, one[1])]
    return (wrong or found or [(param.opts[-1], "")])[0]


def _fits(param: Any, value: str) -> bool:
    choices, number = _choices(param), _number(param)
    if choices:
        return value in choices
    if number is None:
        return True
    try:
        read = number(value)
    except ValueError:
        return False
    return bool((param.min is None or read >= param.min) and (param.max is None or read <= param.max))


def _annotation(param: Any) -> Any:
    """The type that an option was declared with; None where this typer does not keep it."""
    return getattr(getattr(param, "type_descriptor", None), "annotation", None)


def _choices(param: Any) -> tuple[str, ...]:
    declared = getattr(getattr(param, "type", None), "choices", None) or get_args(_annotation(param))
    return tuple(str(choice) for choice in declared if isinstance(choice, str))


def _number(param: Any) -> Any:
    """`int` or `float`, where an option takes numbers; else None."""
    annotation = _annotation(param)
    if annotation is None:
        return NUMBERS.get(str(getattr(getattr(param, "type", None), "name", "")))
    for declared in (annotation, *get_args(annotation)):
        if declared in (int, float):
            return declared
    return None


def _value_name(param: Any) -> str:
    if param.metavar:
        return str(param.metavar)
    if choices := _choices(param):
        return "|".join(choices)
    return {int: "N", float: "NUMBER"}.get(_number(param), "TEXT")
