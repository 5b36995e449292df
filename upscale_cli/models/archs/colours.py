"""What the channels of a net are, where its shapes show no more than how many there are."""

from upscale_cli.models.interface import Colour, LumaRange, SidecarMetadata


def colours_of(
    channels: int, metadata: SidecarMetadata, usual: LumaRange = "studio"
) -> tuple[Colour, LumaRange, tuple[str, ...]]:
    """Of a net that was made for luma, or for YCbCr: the colours, the range of luma, and what of them was assumed.

    Args:
        channels: 1 or 3.
        usual: the range of nets of this kind.
    """
    colour: Colour = "luma" if channels == 1 else "rgb" if metadata.colour == "rgb" else "ycbcr"
    if colour == "rgb":
        return colour, "full", ()
    assumed = ["YCbCr input"] if channels == 3 and metadata.colour is None else []
    if metadata.luma_range is None:
        assumed.append(f"{usual} luma range")
    return colour, metadata.luma_range or usual, tuple(assumed)
