"""Which model suits a picture by what a look at it has shown: a table that a benchmark has made. Imports no torch.

Appearance  ->  its group (damage, photograph or drawn)  ->  models, the best first  ->  the first that is here
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from upscale_cli.events import Say
from upscale_cli.frames.appearance import NOISE_TOLD, Appearance
from upscale_cli.models.registry import rows_of
from upscale_cli.models.store import locate, quiet

Damage = Literal["none", "blur", "jagged", "light JPEG", "JPEG", "other compression", "noise", "unknown"]
"""What has happened to a picture: nothing that was found; a blur; shrinking without antialiasing; JPEG of a quality of
`LIGHT_QUALITY` and above, or below; compression by another codec; noise; it was not looked into."""

CLEAN_QUALITY: Final = 93
"""Of a JPEG that counts as none."""

LIGHT_QUALITY: Final = 84

FAR: Final = 3.0
"""SR pixels for each LR pixel, along an axis."""


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures that one model suits best.

    Attributes:
        is_drawn: a drawing, writing or a screen, rather than a photograph.
        is_far: it is to be enlarged three times and more.
    """

    damage: Damage
    is_drawn: bool = False
    is_far: bool = False

    def __str__(self) -> str:
        """For people.

        >>> str(Group("light JPEG")), str(Group("none", is_drawn=True)), str(Group("unknown"))
        ('light JPEG, photograph', 'no damage, drawn', 'not looked into')
        """
        if self.damage == "unknown":
            return "not looked into"
        damage = "no damage" if self.damage == "none" else self.damage
        return f"{damage}, {'drawn' if self.is_drawn else 'photograph'}"


RANKING: Final[Mapping[Group, tuple[str, ...]]] = {
    Group("JPEG"): ("photo-lite", "espcn-robust", "espcn", "photo-lite-crisp", "swift", "sharp"),
    Group("JPEG", is_far=True): ("photo-lite", "espcn-robust", "espcn", "swift", "sharp", "photo-lite-crisp"),
    Group("JPEG", is_drawn=True): ("photo-lite", "photo-lite-crisp", "espcn-robust", "sharp", "espcn", "swift"),
    Group("JPEG", is_drawn=True, is_far=True): (
        "photo-lite",
        "photo-lite-crisp",
        "espcn-robust",
        "sharp",
        "espcn",
        "swift",
    ),
    Group("blur"): ("photo-lite-crisp", "photo-lite", "espcn-robust", "swift", "sharp", "espcn"),
    Group("blur", is_far=True): ("photo-lite-crisp", "photo-lite", "espcn-robust", "sharp", "swift", "espcn"),
    Group("blur", is_drawn=True): ("photo-lite-crisp", "photo-lite", "espcn-robust", "swift", "sharp", "espcn"),
    Group("jagged"): ("espcn-robust", "photo-lite", "photo-lite-crisp", "espcn", "swift", "sharp"),
    Group("jagged", is_far=True): ("espcn-robust", "photo-lite", "photo-lite-crisp", "espcn", "swift", "sharp"),
    Group("jagged", is_drawn=True): ("espcn-robust", "photo-lite-crisp", "photo-lite", "espcn", "swift", "sharp"),
    Group("jagged", is_drawn=True, is_far=True): (
        "photo-lite",
        "photo-lite-crisp",
        "espcn-robust",
        "swift",
        "sharp",
        "espcn",
    ),
    Group("light JPEG"): ("photo-lite", "sharp", "swift", "espcn-robust", "espcn", "photo-lite-crisp"),
    Group("light JPEG", is_far=True): ("photo-lite", "sharp", "swift", "espcn", "espcn-robust", "photo-lite-crisp"),
    Group("light JPEG", is_drawn=True): ("photo-lite", "sharp", "swift", "espcn", "photo-lite-crisp", "espcn-robust"),
    Group("light JPEG", is_drawn=True, is_far=True): (
        "photo-lite",
        "photo-lite-crisp",
        "sharp",
        "swift",
        "espcn",
        "espcn-robust",
    ),
    Group("noise"): ("espcn-robust", "photo-lite", "photo-lite-crisp", "sharp", "espcn", "swift"),
    Group("noise", is_far=True): ("espcn-robust", "photo-lite", "photo-lite-crisp", "sharp", "swift", "espcn"),
    Group("noise", is_drawn=True): ("photo-lite", "photo-lite-crisp", "espcn-robust", "sharp", "swift", "espcn"),
    Group("noise", is_drawn=True, is_far=True): (
        "photo-lite",
        "espcn-robust",
        "photo-lite-crisp",
        "sharp",
        "swift",
        "espcn",
    ),
    Group("none"): ("swift", "sharp", "espcn", "photo-lite", "espcn-robust", "photo-lite-crisp"),
    Group("none", is_far=True): ("photo-lite", "sharp", "espcn", "swift", "espcn-robust", "photo-lite-crisp"),
    Group("none", is_drawn=True): ("photo-lite", "espcn-robust", "sharp", "swift", "espcn", "photo-lite-crisp"),
    Group("none", is_drawn=True, is_far=True): (
        "photo-lite",
        "photo-lite-crisp",
        "sharp",
        "swift",
        "espcn",
        "espcn-robust",
    ),
    Group("other compression"): ("espcn-robust", "photo-lite", "espcn", "sharp", "swift", "photo-lite-crisp"),
    Group("other compression", is_far=True): (
        "photo-lite",
        "espcn-robust",
        "sharp",
        "swift",
        "espcn",
        "photo-lite-crisp",
    ),
    Group("other compression", is_drawn=True): (
        "photo-lite",
        "sharp",
        "swift",
        "espcn",
        "espcn-robust",
        "photo-lite-crisp",
    ),
    Group("other compression", is_drawn=True, is_far=True): (
        "photo-lite",
        "sharp",
        "photo-lite-crisp",
        "swift",
        "espcn",
        "espcn-robust",
    ),
    Group("unknown"): ("espcn-robust", "photo-lite", "espcn", "swift", "sharp", "photo-lite-crisp"),
    Group("unknown", is_far=True): ("espcn-robust", "photo-lite", "espcn", "swift", "sharp", "photo-lite-crisp"),
}
"""Models by their mean PSNR of luma over pictures of a group, the best first, or what is within 0.1 dB of it with less
work; from benchmarks/chooser.json, whose script prints this table."""


def group_of(seen: Appearance, scale: float) -> Group:
    """The group that a picture belongs to which is to be enlarged so many times.

    >>> group_of(Appearance("JPEG", "photograph", jpeg_quality=40), 4)
    Group(damage='JPEG', is_drawn=False, is_far=True)
    """
    is_far = scale >= FAR
    if not seen.format:
        return Group("unknown", is_far=is_far)
    if seen.is_data:
        return Group("none", is_far=is_far)
    return Group(_damage_of(seen), seen.is_drawn, is_far)


def _damage_of(seen: Appearance) -> Damage:
    quality = 100 if seen.jpeg_quality is None else seen.jpeg_quality
    if quality < LIGHT_QUALITY:
        return "JPEG"
    if seen.noise >= NOISE_TOLD:
        return "noise"
    if seen.is_blurred:
        return "blur"
    if quality < CLEAN_QUALITY:
        return "light JPEG"
    if seen.is_lossy:
        return "other compression"
    return "jagged" if seen.is_jagged else "none"


def candidates() -> tuple[str, ...]:
    """The models that may be chosen for a picture, and are here: the first of each group."""
    return tuple(dict.fromkeys(suitable_model(group) for group in RANKING))


def ranked(group: Group, ranking: Mapping[Group, tuple[str, ...]] = RANKING) -> tuple[str, ...]:
    """The models for a group of pictures, the best first; for drawn ones, where none are known, as for photographs."""
    for other in (group, replace(group, is_drawn=False)):
        if other in ranking:
            return ranking[other]
    return ranking[Group("unknown", is_far=group.is_far)]


def suitable_model(group: Group, *, say: Say = quiet) -> str:
    """The best model for a group of pictures among those whose checkpoints are on this machine."""
    for model in ranked(group):
        if any(locate(spec, say=say) for spec in rows_of(model)):
            return model
    return "bicubic"
