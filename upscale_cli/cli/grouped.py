"""A verb takes its options in groups, one dataclass for each panel of the help; Typer sees each option by itself."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any


def grouped(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb as Typer wants it: a parameter that is a dataclass gives way to its fields, `Annotated` as they are.

    >>> @dataclasses.dataclass
    ... class Size:
    ...     scale: int = 4
    >>> @grouped
    ... def verb(name: str, size: Size) -> None:
    ...     print(name, size)
    >>> inspect.signature(verb)
    <Signature (*, name: str, scale: int = 4) -> None>
    >>> verb(name="a", scale=2)
    a Size(scale=2)
    """
    signature = inspect.signature(verb)
    groups = {name: part.annotation for name, part in signature.parameters.items() if _is_group(part)}
    flat: list[inspect.Parameter] = []
    for name, part in signature.parameters.items():
        flat += _options(groups[name]) if name in groups else [part.replace(kind=inspect.Parameter.KEYWORD_ONLY)]

    @functools.wraps(verb)
    def called(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in dataclasses.fields(group)})
        verb(**given)

    called.__signature__ = signature.replace(parameters=flat)  # type: ignore[attr-defined]
    called.__annotations__ = {part.name: part.annotation for part in flat}
    return called


def _is_group(parameter: inspect.Parameter) -> bool:
    return dataclasses.is_dataclass(parameter.annotation)


def _options(group: Any) -> list[inspect.Parameter]:
    return [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
        for field in dataclasses.fields(group)
    ]
