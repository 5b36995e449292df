"""What does not go together: sources, the output and the options for them. Looks into no file."""

from collections.abc import Iterable

from upscale_cli.errors import InputError, LeftAlone, OptionError
from upscale_cli.files.object_names import is_object
from upscale_cli.jobs.inputs import STDIO, Input, is_web_address, why_not_fetched
from upscale_cli.jobs.naming import Naming
from upscale_cli.media.video.addresses import is_address
from upscale_cli.messages import option


def check_live(sources: Iterable[Input], output: str | None, results: int, *, play: bool, live: bool) -> None:
    """Refuses what cannot be played or received.

    Args:
        results: how many outputs there will be.
        play, live: as in `ClipOptions`.

    Raises:
        OptionError: so it is.
    """
    given = tuple(sources)
    if play and output is not None:
        raise OptionError(
            f"{option('play', True)} and {option('output', output)} exclude each other. Give one of them."
        )
    addresses = [name for name in (*(source.name for source in given), output or "") if is_address(name)]
    if not live:
        check_web(*(source.name for source in given))
        if output is not None and is_web_address(output):
            raise OptionError(f"{option('output', output)}: nothing is sent to the web. Give a file.")
    if addresses and not live:
        raise OptionError(f"{addresses[0]}: is an address or a device. Give {option('live', True)} to let it in.")
    if live and not addresses:
        raise OptionError(
            f"{option('live', True)}: neither the input nor {option('output')} is an address or a device. "
            "Name one, or leave it out."
        )
    if any(source.is_live for source in given):
        if output is None and not play:
            raise OptionError(
                f"{option('live', True)} needs a place for what comes. "
                f"Give {option('output')} a file, {option('output', STDIO)} or {option('play', True)}."
            )
        if results > 1:
            raise OptionError(
                f"{option('live', True)} takes one input and one {option('model')}. Leave the others out."
            )


def check_only_below(name: str, width: int, height: int, only_below: int | None) -> None:
    """Leaves alone what is large enough.

    Args:
        name: of the source, for messages.
        only_below: pixels of the shorter side from which it is; None: nothing is.

    Raises:
        LeftAlone: it is.
    """
    if only_below is not None and min(width, height) >= only_below:
        raise LeftAlone(f"{name}: is {width} x {height}, and left alone: {option('only_below', only_below)}.")


def check_web(*names: str) -> None:
    """Refuses addresses of the web as inputs.

    Raises:
        InputError: one is none.
    """
    for name in filter(is_web_address, names):
        raise InputError(f"{name}: {why_not_fetched(name)}")


def check_objects(sources: Iterable[Input], naming: Naming, **options: bool) -> None:
    """Refuses what cannot be done with objects.

    Args:
        options: those that do not go with them, by name, and whether they are given.

    Raises:
        OptionError: so it is.
    """
    given = tuple(sources)
    output = naming.output or ""
    url = next(filter(is_object, (*(source.name for source in given), output)), None)
    if url is None:
        return
    for name in (name for name, is_given in options.items() if is_given):
        raise OptionError(
            f"{option(name, True)} does not go with {url}: an object comes and goes as a whole. Leave it out."
        )
    if output == STDIO or any(source.is_stdin for source in given):
        raise OptionError(f"{url} and standard input or output do not go together. Name a file or an object instead.")
    naming.check_unseen()
