"""What an output says of spheres and pairs of views: options for ffmpeg, and what is put into the finished file."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from upscale_cli.media.video.carried_streams import Slot
from upscale_cli.media.video.container import Container
from upscale_cli.media.video.spatial import MATROSKA_STEREO, MP4_STEREO, Spatial
from upscale_cli.media.video.spatial_matroska import with_room, write_sphere_matroska
from upscale_cli.media.video.spatial_mp4 import write_spatial_mp4
from upscale_cli.media.video.streams import Clip

MP4_CONTAINERS: Final = ("mp4", "mov")
MATROSKA_CONTAINERS: Final = ("matroska", "webm")


def kept(spatial: Spatial, container: Container, *, is_file: bool) -> Spatial:
    """As much of it as the output says.

    Args:
        is_file: the output can be written to again: ffmpeg has no option for a projection.
    """
    key = (spatial.packing or "mono", spatial.is_inverted)
    in_mp4 = container.muxer in MP4_CONTAINERS and is_file
    has_sphere = in_mp4 or (container.muxer in MATROSKA_CONTAINERS and is_file)
    has_stereo = key in MP4_STEREO if in_mp4 else container.muxer in MATROSKA_CONTAINERS and key in MATROSKA_STEREO
    return replace(
        spatial, sphere=spatial.sphere if has_sphere else None, packing=spatial.packing if has_stereo else None
    )


def spatial_note(spatial: Spatial, said: Spatial, container: Container, number: int) -> str:
    """What the pictures are, and what of that the output does not say; `number` is of the video stream, from 1."""
    shape = f"{spatial.sphere.projection} pictures of a sphere" if spatial.sphere else ""
    is_pair = spatial.packing not in (None, "mono")
    pair = f"3D ({spatial.packing}{', right eye first' if spatial.is_inverted else ''})" if is_pair else ""
    pair = pair.replace("(other", "(views stored apart, or in a way without a name here")
    lost = [spatial.unknown] if spatial.unknown else []
    lost += ["spherical mapping"] if spatial.sphere and not said.sphere else []
    lost += ["stereo 3D"] if spatial.packing is not None and said.packing is None else []
    what = ", ".join(filter(None, (shape, pair))) or "pictures of a projection without a name here"
    is_packed = is_pair and spatial.packing != "other"  # else only one of the views may be in what is decoded
    views = "; both views are upscaled as one picture" if is_packed else ""
    why = f"; left out of video stream {number}, for {container.name} cannot say it: " if lost else ""
    return f"{what}{views}{why}{', '.join(lost)}"


def spatial_arguments(place: int, spatial: Spatial, title: str, container: Container) -> list[str]:
    """ffmpeg's options for the output stream of that number; of a `Spatial` that was cut to what is `kept`."""
    if container.muxer not in MATROSKA_CONTAINERS:
        return []
    arguments = []
    if spatial.packing is not None:
        mode = MATROSKA_STEREO[spatial.packing, spatial.is_inverted]
        arguments += [f"-metadata:s:{place}", f"stereo_mode={mode}"]
    if spatial.sphere is not None:
        arguments += [f"-metadata:s:{place}", f"title={with_room(title)}"]
    return arguments


def title_of(clip: Clip | None, slots: Sequence[Slot], place: int) -> str:
    """The name of the track that goes to that place; "" where it has none."""
    if clip is None or place >= len(slots):
        return ""
    tags = next((stream.metadata for stream in clip.video if stream.index == slots[place].index), {})
    return tags.get("title") or tags.get("name") or ""


def write_spatial(
    path: Path, by_place: Mapping[int, Spatial], container: Container, clip: Clip | None, slots: Sequence[Slot]
) -> None:
    """Puts into a finished file what ffmpeg has no option for.

    Args:
        by_place: of the upscaled streams, by their number in the output.

    Raises:
        OutputError: it is not as ffmpeg writes it.
        OSError: it cannot be written.
    """
    if container.muxer in MATROSKA_CONTAINERS:
        spheres = {place: spatial.sphere for place, spatial in by_place.items() if spatial.sphere is not None}
        if spheres:
            write_sphere_matroska(path, spheres)
    elif container.muxer in MP4_CONTAINERS and by_place:
        covers = {stream.index for stream in clip.others if stream.kind == "picture"} if clip is not None else set()

        def track_number(place: int) -> int:  # cover art has a stream and no track
            return place - sum(slot.index in covers for slot in slots[:place])

        write_spatial_mp4(path, {track_number(place): spatial for place, spatial in by_place.items()})
