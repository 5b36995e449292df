"""A checkpoint, wherever it has to come from: this machine first, then the network. Imports no torch."""

from upscale_cli.events import Fetching, Listener, Note, Say
from upscale_cli.models import store
from upscale_cli.models.registry import Spec
from upscale_cli.models.store import Found, Progress, quiet


def obtain(spec: Spec, *, say: Say = quiet, progress: Progress = quiet) -> Found:
    """The checkpoint of a registry row: from the search path, else downloaded into the cache folder.

    Raises:
        FetchError: it is not on this machine and could not be downloaded, or something else came in its place.
        CheckpointError: it is bundled, yet not there.
    """
    found = store.locate(spec, say=say)
    if found is not None:
        return found
    from upscale_cli.models.fetch import fetch  # with it come ssl and http, which nobody else needs at start

    return Found(fetch(spec, store.cache_folder(), progress=progress, say=say), pinned=True)


def obtain_telling(spec: Spec, listener: Listener) -> Found:
    """`obtain`, with what happens on the way told as events."""

    def arrived(done: int, total: int | None) -> None:
        listener(Fetching(spec.file, done, total))

    return obtain(spec, say=lambda text: listener(Note(text)), progress=arrived)
