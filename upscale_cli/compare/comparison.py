"""`upscale INPUT --compare`: the comparison of an input with what was made of it, next to the output."""

from dataclasses import dataclass, field
from pathlib import Path

from upscale_cli.compare.page import Compared, write_page
from upscale_cli.compare.pairing import Subject, Version, labels
from upscale_cli.errors import printable
from upscale_cli.events import Listener, ignore, saying
from upscale_cli.jobs.inputs import STDIO


@dataclass(frozen=True, slots=True)
class Comparison:
    """An input and what is being made of it.

    Attributes:
        source: a path, or the bytes that came on standard input (pictures only).
        name: of the input, for labels.
        first_output: the first that is to be made of it, which may fail.
        is_clip: clips are compared in a clip, with the first that was made.
        outputs: what was made; they exist.

    >>> Comparison(Path("photo.png"), "photo.png", Path("large/photo_4x.png")).place.as_posix()
    'large/photo_compare.html'
    """

    source: Path | bytes
    name: str
    first_output: Path
    is_clip: bool = False
    outputs: list[Path] = field(default_factory=list)

    @property
    def place(self) -> Path:
        """Where the comparison goes."""
        ending = self.first_output.suffix if self.is_clip else ".html"
        return self.first_output.with_name(f"{self._path.stem}_compare{ending}")

    def write(self, *, overwrite: bool = False, listener: Listener = ignore) -> Compared:
        """Writes it; at least one output is there.

        Raises:
            UpscaleError: as `write_page` and `write_clip`.
        """
        if self.is_clip:
            from upscale_cli.compare.video_side_by_side import write_clip

            assert isinstance(self.source, Path)
            return write_clip(self.source, self.outputs[0], self.place, overwrite=overwrite, listener=listener)
        before = Version(printable(self._path.name), self.source)
        after = [Version(label, path) for label, path in zip(labels(self.outputs), self.outputs, strict=True)]
        subject = Subject(printable(self._path.stem), (before, *after))
        return write_page([subject], self.place, overwrite=overwrite, say=saying(listener))

    @property
    def _path(self) -> Path:
        return Path("stdin" if self.name == STDIO else self.name)
