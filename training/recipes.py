"""Recipes on the command line: an option for each number and word of one."""

import argparse
from dataclasses import MISSING, fields, replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")


def add_options(parser: argparse.ArgumentParser, recipe: "DataclassInstance") -> None:
    """Adds the options; what has several values, as the sizes of pictures, has none."""
    for field in fields(recipe):
        value = getattr(recipe, field.name)
        if isinstance(value, int | float | str):
            usual = "that of the net" if field.default is MISSING else field.default
            parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(value), help=f"default: {usual}")


def changed(recipe: R, arguments: argparse.Namespace) -> R:
    """The recipe with what was given."""
    given = {field.name: getattr(arguments, field.name, None) for field in fields(recipe)}
    return replace(recipe, **{name: value for name, value in given.items() if value is not None})
