"""What the user has agreed to once: licences of models that forbid something. Imports no torch."""

from typing import Final

from upscale_cli.models.settings import keep_setting, setting

FILE: Final = "agreements.json"
"""In the folder of settings: licences by models' names."""


def has_agreed(model: str, licence: str) -> bool:
    """Whether the user has agreed to use that model under that licence; of another one it has to be asked again."""
    return _agreements().get(model) == licence


def agree(model: str, licence: str) -> None:
    """Remembers it.

    Raises:
        OutputError: it cannot be written.
    """
    keep_setting(FILE, {**_agreements(), model: licence})


def _agreements() -> dict[str, str]:
    given = setting(FILE)
    return {str(model): str(licence) for model, licence in given.items()} if isinstance(given, dict) else {}
