"""Which model a picture gets where none was named: the file is looked at, and the table says what suits it.

For a clip codec and bits per pixel decide; an object, which is looked into in its turn only, gets what suits most
pictures, or most clips.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from upscale_cli.errors import UpscaleError
from upscale_cli.events import Chosen, Say
from upscale_cli.frames.appearance import Appearance
from upscale_cli.inference.model import DEFAULT_SCALE
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.inference.sizing import Target
from upscale_cli.jobs.inputs import Input
from upscale_cli.jobs.job import PhotoOptions
from upscale_cli.media.book import content, open_book
from upscale_cli.media.image.look import look_at
from upscale_cli.models.registry import MODELS
from upscale_cli.models.resolve import best_clip_model
from upscale_cli.models.store import locate, quiet
from upscale_cli.models.suitable import candidates, group_of, suitable_model

UNSEEN: Final = Appearance()


@dataclass(frozen=True, slots=True)
class Choice:
    """A model, and what it was chosen by.

    Attributes:
        why: for people.
        seen, group: what the file has shown, and what of that decides, for people.
        picture: what a look at a picture has shown; of a clip nothing.
    """

    model: str
    why: str
    seen: str
    group: str
    picture: Appearance = UNSEEN
    is_clip: bool = False

    def event(self, source: str) -> Chosen:
        """What listeners get of it."""
        picture = self.picture
        return Chosen(
            source, self.model, self.seen, self.group, self.is_clip, picture.kind, picture.jpeg_quality, picture.noise
        )


def choose_model(
    given: Input,
    photos: PhotoOptions,
    options: UpscalerOptions,
    target: Target | None = None,
    *,
    is_remote: bool = False,
    say: Say = quiet,
) -> Choice:
    """The model for a picture, or for a book by its first page.

    A file that cannot be read has shown nothing; it fails when it is opened to be upscaled, and says why.

    Args:
        target: how large the result shall be; None: four times as large.
        is_remote: it is not looked into, for it, or what becomes of it, is an object.

    Raises:
        InputError: it is a folder, or an empty standard input.
    """
    seen = UNSEEN if is_remote else _seen(given, photos)
    group = group_of(seen, _scale(target, seen))
    able = _able(options)
    if able is not None:
        why = "the best one here for what is asked of it"
    else:
        why = f"chosen for {seen}" if seen.format else "the usual one for pictures that are not looked into"
    return Choice(able or suitable_model(group, say=say), why, str(seen), str(group), seen)


def choose_clip_model(
    codec: str, bits_per_pixel: float | None = None, *, lossless: bool = False, hurries: bool = False
) -> Choice:
    """The model for a clip, by what its headers say; the arguments are those of `best_clip_model`."""
    model, why = best_clip_model(codec, bits_per_pixel, lossless=lossless, hurries=hurries)
    bits = "" if bits_per_pixel is None else f" of {bits_per_pixel:.2g} bits per pixel"
    return Choice(model, why, f"{codec}{bits}", f"{codec} clip", is_clip=True)


def _scale(target: Target | None, seen: Appearance) -> float:
    """SR pixels for each LR pixel along an axis, as far as that is known."""
    if target is None or (target.scale is None and not seen.width):
        return DEFAULT_SCALE
    return target.scale or target.size_for(seen.width, seen.height)[0] / seen.width


def possible_models(options: UpscalerOptions) -> tuple[str, ...]:
    """What `choose_model` may give."""
    named = _able(options)
    return candidates() if named is None else (named,)


def _seen(given: Input, photos: PhotoOptions) -> Appearance:
    return look_at(_picture(given), max_pixels=photos.max_pixels, salvage=photos.salvage, bands=photos.bands)


def _picture(given: Input) -> Path | bytes:
    """What is looked at: the picture, or of a book the first page; nothing of a book that cannot be read."""
    if not given.is_book:
        return given.open()
    try:
        archive, pages = open_book(given.path, given.name)
        with archive:
            return content(archive, pages[0], given.name)
    except UpscaleError:
        return b""


def _able(options: UpscalerOptions) -> str | None:
    """The best model here for `denoise` or `strength`; None where neither is asked for, or none is here."""
    if options.denoise == 1 and options.strength is None:
        return None
    able = [spec for spec in MODELS if (spec.crisp if options.denoise == 1 else spec.weak_denoise) and locate(spec)]
    return max(able, key=lambda spec: spec.quality).model if able else None
