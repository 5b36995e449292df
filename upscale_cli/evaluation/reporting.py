"""A source or a model that fails is reported, and the rest goes on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from upscale_cli.errors import OptionError, UpscaleError
from upscale_cli.events import Failed, Listener

Value = TypeVar("Value")


def attempted(make: Callable[[], Value], source: str, listener: Listener) -> list[Value]:
    """What `make` gives, alone in a list; an empty one, and the failure reported, where it fails."""
    with reporting_failures(source, listener):
        return [make()]
    return []


@contextmanager
def reporting_failures(source: str, listener: Listener) -> Iterator[None]:
    """What fails for one source is reported, and the rest goes on; a wrong option ends the run."""
    try:
        yield
    except OptionError:
        raise
    except UpscaleError as error:
        listener(Failed(source, error.message))
