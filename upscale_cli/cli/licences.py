"""The question about a licence that forbids commercial use, asked once for each model. Imports no torch."""

import sys
from collections.abc import Iterable

from upscale_cli.errors import FetchError, printable
from upscale_cli.events import Listener, Note
from upscale_cli.models.asked import asked
from upscale_cli.models.zoo import PREFIX, zoo_id


def ask_for_licences(
    names: Iterable[str | None], listener: Listener, *, yes: bool = False, has_yes: bool = False
) -> None:
    """Has the user agree to the licences of those of OpenModelDB's models that are to be fetched.

    Args:
        names: as `-m` takes them; None for the best on this machine.
        yes: the user has agreed already.
        has_yes: the verb has an option for that, to be named where nobody can be asked.

    Raises:
        FetchError: the user does not agree, or cannot be asked; or the index cannot be had.
    """
    each = (one for name in names if name is not None for part in asked(name) for one in part.names)
    ids = [id for one in each if (id := zoo_id(one)) is not None]
    for id in ids:
        from upscale_cli.models.zoo_fetch import agree, has_to_agree, located, zoo_model  # with it come ssl and http

        model = zoo_model(id, say=lambda text: listener(Note(text)))
        if not has_to_agree(model) or located(model) is not None:
            continue
        terms = f"{PREFIX}{model.id} by {printable(model.by)} is under {printable(model.licence_named)}"
        if not yes and not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
            way = "--yes" if has_yes else f"`upscale models fetch {PREFIX}{model.id} --yes`"
            raise FetchError(f"{terms}, which has to be agreed to once. Agree with {way}, or choose another model")
        if not yes:
            import typer

            if not typer.confirm(f"{terms}. Use it so?", err=True):
                raise FetchError(f"{PREFIX}{model.id}: not fetched, for its licence was not agreed to")
        agree(model)
