"""What a picture file carries beside its pixels, of any format; see `media.inventory`."""

from upscale_cli.media.image.inventory.picture import inventory_of_picture

__all__ = ["inventory_of_picture"]
