"""The nets, one file each, and the table of them: an architecture is one file and one line here."""

from typing import Final

ARCHS: Final[dict[str, str]] = {
    "rrdbnet": "upscale_cli.models.archs.rrdbnet:ARCH",
    "srvgg": "upscale_cli.models.archs.srvgg:ARCH",
    "espcn": "upscale_cli.models.archs.espcn:ARCH",
    "span": "upscale_cli.models.archs.span:ARCH",
}
"""Where the `Architecture` of that name is; in the order a checkpoint of unknown kind is tried on them."""
