"""Which model suits a picture by what a look at it has shown: a table that a benchmark has made. Imports no torch.

Appearance  ->  its group (damage, photograph or drawn)  ->  models, the best first  ->  the first that is here
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, cast, get_args

from upscale_cli.events import Say
from upscale_cli.frames.appearance import NOISE_TOLD, Appearance
from upscale_cli.models.registry import rows_of
from upscale_cli.models.store import locate, quiet

Damage = Literal["none", "blur", "jagged", "ringing", "light JPEG", "JPEG", "other compression", "noise", "unknown"]
"""What has happened to a picture: nothing that was found; a blur; shrinking without antialiasing; shrinking by a kernel
that overshoots, seen in what is drawn alone; JPEG of a quality of `LIGHT_QUALITY` and above, or below; compression by
another codec; noise; it was not looked into."""

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


_TABLE: Final = """
JPEG                photograph  near  sharp-robust photo-lite espcn-robust espcn swift sharp photo-lite-crisp
JPEG                photograph  far   photo-lite sharp-robust espcn-robust photo-lite-crisp espcn sharp swift
JPEG                drawn       near  photo-lite sharp-robust photo-lite-crisp espcn-robust espcn sharp swift
JPEG                drawn       far   photo-lite photo-lite-crisp sharp-robust espcn-robust sharp espcn swift
blur                photograph  near  photo-lite-crisp photo-lite espcn-robust sharp-robust swift sharp espcn
blur                photograph  far   photo-lite-crisp photo-lite espcn-robust sharp swift espcn sharp-robust
blur                drawn       near  photo-lite-crisp photo-lite espcn-robust sharp-robust swift sharp espcn
blur                drawn       far   photo-lite-crisp photo-lite espcn-robust sharp-robust sharp swift espcn
jagged              photograph  near  sharp-robust espcn-robust photo-lite photo-lite-crisp espcn swift sharp
jagged              photograph  far   sharp-robust espcn-robust photo-lite photo-lite-crisp espcn swift sharp
jagged              drawn       near  sharp-robust espcn-robust photo-lite photo-lite-crisp espcn swift sharp
jagged              drawn       far   espcn-robust sharp-robust photo-lite-crisp photo-lite swift espcn sharp
light JPEG          photograph  near  photo-lite sharp-robust espcn-robust sharp swift espcn photo-lite-crisp
light JPEG          photograph  far   photo-lite sharp swift espcn sharp-robust espcn-robust photo-lite-crisp
light JPEG          drawn       near  photo-lite sharp sharp-robust swift espcn photo-lite-crisp espcn-robust
light JPEG          drawn       far   photo-lite sharp photo-lite-crisp swift espcn sharp-robust espcn-robust
noise               photograph  near  sharp-robust photo-lite espcn-robust photo-lite-crisp espcn sharp swift
noise               photograph  far   sharp-robust espcn-robust photo-lite photo-lite-crisp sharp espcn swift
noise               drawn       near  photo-lite photo-lite-crisp sharp-robust sharp espcn-robust swift espcn
noise               drawn       far   photo-lite photo-lite-crisp sharp sharp-robust swift espcn espcn-robust
none                photograph  near  swift sharp espcn photo-lite espcn-robust sharp-robust photo-lite-crisp
none                photograph  far   swift sharp photo-lite espcn sharp-robust espcn-robust photo-lite-crisp
none                drawn       near  photo-lite sharp-robust espcn-robust photo-lite-crisp espcn sharp swift
none                drawn       far   photo-lite photo-lite-crisp sharp swift espcn sharp-robust espcn-robust
other compression   photograph  near  sharp-robust photo-lite espcn-robust espcn sharp swift photo-lite-crisp
other compression   photograph  far   photo-lite sharp-robust sharp espcn-robust swift espcn photo-lite-crisp
other compression   drawn       near  photo-lite sharp swift sharp-robust espcn espcn-robust photo-lite-crisp
other compression   drawn       far   sharp photo-lite swift espcn photo-lite-crisp sharp-robust espcn-robust
ringing             drawn       near  sharp photo-lite swift espcn sharp-robust espcn-robust photo-lite-crisp
ringing             drawn       far   sharp photo-lite swift espcn photo-lite-crisp sharp-robust espcn-robust
unknown             photograph  near  sharp-robust photo-lite espcn-robust espcn swift sharp photo-lite-crisp
unknown             photograph  far   sharp-robust photo-lite espcn-robust espcn sharp swift photo-lite-crisp
"""
"""A line for each group: damage; photograph or drawn; enlarged by `FAR` and more, or less; models, the best first."""


def _read(table: str) -> Iterator[tuple[Group, tuple[str, ...]]]:
    """The groups of a table, and their models."""
    for line in table.strip().splitlines():
        damage, pictures, enlarged, models = re.split(r" {2,}", line)
        assert damage in get_args(Damage), damage
        yield Group(cast(Damage, damage), pictures == "drawn", enlarged == "far"), tuple(models.split())


RANKING: Final[Mapping[Group, tuple[str, ...]]] = dict(_read(_TABLE))
"""Models by their mean PSNR of luma over pictures of a group, the best first, or what is within 0.1 dB of it with less
work; from benchmarks/chooser.json, whose script prints the table."""


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
    if seen.is_jagged:
        return "jagged"
    return "ringing" if seen.is_ringing else "none"


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
