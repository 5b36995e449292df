"""Photoshop's image resources by name."""

from typing import Final

from upscale_cli.media.image.inventory.blocks import Items
from upscale_cli.media.image.photoshop import IPTC, name_of, resources_of
from upscale_cli.media.inventory import digest

_THUMBNAILS: Final = (0x0409, 0x040C)


def of_resources(data: bytes) -> Items:
    """IPTC first of all; thumbnails as what they are."""
    for number, content, _ in resources_of(data):
        if number in _THUMBNAILS:
            yield "thumbnail", ""
        elif number == IPTC:
            yield "IPTC", digest(content)
        else:
            yield f"Photoshop resources: {name_of(number)}", digest(content)
