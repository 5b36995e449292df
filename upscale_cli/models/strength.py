"""How much a model invents, as one number: a dial between two checkpoints of one net. Imports no torch.

0 is the model itself, faithful; 1 the crisp checkpoint that belongs to it; between them their weights are mixed, see
`models.mixing`.
"""

from upscale_cli.errors import OptionError
from upscale_cli.messages import option
from upscale_cli.models.registry import MODELS, is_known, named


def with_strength(given: str, strength: float | None) -> str:
    """The same model at that strength, as `-m` takes it.

    Args:
        given: as `-m` takes it.
        strength: 0 to 1; None: the model as it is.

    Raises:
        OptionError: it is out of range, or the model has no crisp checkpoint.

    >>> with_strength("photo-lite", 0.25)
    'photo-lite:0.75,photo-lite-crisp:0.25'
    """
    if strength is None:
        return given
    if not 0 <= strength <= 1:
        raise OptionError(f"{option('strength', strength)} is out of range. Choose 0 (faithful) to 1 (crisp).")
    name = named(given)[0] if is_known(given) else given
    crisp = next((spec.crisp for spec in MODELS if spec.model == name and spec.crisp), None)
    if crisp is None:
        able = ", ".join(dict.fromkeys(spec.model for spec in MODELS if spec.crisp))
        raise OptionError(
            f"{option('strength')} does not go with {name}, which has no crisp checkpoint beside it. "
            f"Choose {option('model', able)}, or leave it out."
        )
    if strength in (0, 1):
        return crisp if strength else name
    return f"{name}:{1 - strength!r},{crisp}:{strength!r}"
