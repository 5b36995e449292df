"""What is done in a folder of outputs: one JSON object per line, added, so that a killed run can go on.

Where lines are kept is decided by `manifest_storage`. The lines, and what follows from
them, are in docs/folders.md. A line that a kill has torn is ignored.
"""

import dataclasses
import hashlib
import json
import os
import secrets
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from upscale_cli.batch.manifest_storage import storage_in
from upscale_cli.files.object_names import as_prefix, is_object, parent
from upscale_cli.files.stamp import Stamp as Stamp
from upscale_cli.jobs.inputs import Input
from upscale_cli.jobs.naming import is_folder_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One output, begun or done.

    Attributes:
        output: its path below the manifest's folder, with slashes.
        input: path of the source below the folder that was named, with slashes.
        source: absolute path of the source, or the URL of an object.
        stamp: of the source, before it was read.
        job: digest of the options (`JobOptions.digest`).
        made: stamp of the output; of one that is begun, of the file that stood in its place, or None.
        damage: what the source has lost, in words; "" for nothing.
    """

    output: str
    input: str
    source: str
    stamp: Stamp
    job: str
    made: Stamp | None
    damage: str = ""

    def as_line(self, state: str) -> dict[str, Any]:
        return {state: self.output, **{key: value for key, value in self._plain().items() if value != ""}}

    def _plain(self) -> dict[str, Any]:
        stamps = {"stamp": dataclasses.astuple(self.stamp), "made": self.made and dataclasses.astuple(self.made)}
        return {"input": self.input, "source": self.source, **stamps, "job": self.job, "damage": self.damage}

    @classmethod
    def parsed(cls, state: str, line: Mapping[str, Any]) -> Self:
        """
        Raises:
            KeyError, TypeError, ValueError: something is missing, or of another kind.
        """
        stamp = Stamp.parsed(line["stamp"])
        if stamp is None:
            raise ValueError("a source without a stamp")
        return cls(
            output=str(line[state]), input=str(line["input"]), source=str(line["source"]), stamp=stamp,
            job=str(line["job"]), made=Stamp.parsed(line["made"]), damage=str(line.get("damage", "")),
        )  # fmt: skip


@dataclass(frozen=True)
class JobOptions:
    """All that decides about the pixels and the name of an output."""

    values: Mapping[str, Any]

    @cached_property
    def digest(self) -> str:
        """A short name for it."""
        text = json.dumps(self.values, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def template_below(output: str | None) -> str:
    """What of -o decides about names, wherever the folder is moved to.

    >>> template_below("out/{folder}/{stem}{ext}"), template_below("out/"), template_below(None)
    ('{folder}/{stem}{ext}', '', '')
    """
    if output is None or "{" not in output:
        return ""
    before = output.index("{")
    return output[max(output.rfind(slash, 0, before) for slash in ("/", os.sep)) + 1 :]


class Manifest:
    """The manifest of one folder or prefix, as it is kept there and as this run adds to it.

    Args:
        folder: where the outputs lie: a path, or the URL of a prefix; need not exist before the first line is added.
        is_kept: False: it is forgotten with the run.

    Raises:
        OutputError: a store cannot be asked what is there.
    """

    def __init__(self, folder: Path | str, *, is_kept: bool = True) -> None:
        self._storage = storage_in(folder, is_kept=is_kept)
        self._run = secrets.token_hex(4)
        self._coming = deque[tuple[Input, Path | str, JobOptions]]()
        self._noted: dict[str, Record] = {}  # by output: what this run has noted as begun, and has not ended yet
        self._jobs: set[str] = set()
        self._done: dict[tuple[str, str], Record] = {}  # by input and job
        self._begun: dict[tuple[str, str], dict[str, Record]] = {}  # by input and job, then by run
        self._by_output: dict[str, Record] = {}  # the last that was done
        self.refresh()

    # What is known

    def finished(self, source: Input, job: JobOptions) -> Record | None:
        """What this very job has made of this very file, if it is still there."""
        name, stamp = self._input_name(source), source.stamp()
        forms = dict.fromkeys((name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))))
        keys = [(form, job.digest) for form in forms]  # another system may write accents in another form
        begun = [record for key in keys for record in self._begun.get(key, {}).values()]
        for record in (*map(self._done.get, keys), *map(self._in_place, begun)):
            if record is None or record.stamp != stamp or record.made is None:
                continue
            made = self._storage.stamp(record.output)
            if made is not None and made.size == record.made.size:
                return record
        return None

    def may_replace(self, source: Input, output: Path | str) -> bool:
        """Whether an output that is there was made by us, from this source, and is as we left it."""
        name = self._storage.name(output)
        made = self._storage.stamp(name, now=True)
        begun = [record for record in self._all_begun() if record.output == name]
        records = (self._by_output.get(name), *map(self._in_place, begun))
        path = _absolute(source)
        return made is not None and any(
            record is not None and record.made == made and record.source == path for record in records
        )

    def outputs(self) -> frozenset[tuple[str, int]]:
        """Absolute path, or URL, and size of every output."""
        records = (*self._by_output.values(), *map(self._in_place, self._all_begun()))
        made = [(self.place(one), one.made.size) for one in records if one and one.made]
        return frozenset((place if isinstance(place, str) else os.path.abspath(place), size) for place, size in made)

    def is_there(self, output: Path | str) -> bool:
        """Whether there is something in the place of an output."""
        return os.path.lexists(output) if isinstance(output, Path) else self._stamp_at(output) is not None

    def place(self, record: Record) -> Path | str:
        """Where the output of a record lies."""
        return self._storage.place(record.output)

    def _stamp_at(self, output: Path | str) -> Stamp | None:
        return self._storage.stamp(self._storage.name(output))

    def _all_begun(self) -> Iterator[Record]:
        return (record for records in self._begun.values() for record in records.values())

    def _in_place(self, begun: Record) -> Record | None:
        """An output that was begun and has its name, but no line for that yet: there is another file than before.
        Its run was killed just then, or is about to add the line."""
        made = self._storage.stamp(begun.output)
        return dataclasses.replace(begun, made=made) if made is not None and made != begun.made else None

    # What is added

    def expect(self, coming: Iterable[tuple[Input, Path | str, JobOptions]]) -> None:
        """What this run will begin with, in that order: where a line costs a request, many are noted at once."""
        self._coming = deque(coming)

    def begin(self, source: Input, output: Path | str, job: JobOptions) -> Record:
        """Notes that a source is about to be read; what comes of it is noted by `finish` or `drop`.

        Raises:
            OutputError: the manifest cannot be written.
        """
        record = self._record(source, output, job)
        if self._noted.get(record.output) != record:
            self._note([(record, job), *((one, job) for one, job in self._next() if one.output != record.output)])
        return record

    def _next(self) -> Iterator[tuple[Record, JobOptions]]:
        """Some of what is to come."""
        for _ in range(min(self._storage.ahead, len(self._coming))):
            source, output, job = self._coming.popleft()
            record = self._record(source, output, job)
            if record.output not in self._noted:
                yield record, job

    def _note(self, begun: Iterable[tuple[Record, JobOptions]]) -> None:
        lines = list[Mapping[str, Any]]()
        for record, job in begun:
            if job.digest not in self._jobs:
                self._jobs.add(job.digest)
                lines.append({"job": job.digest, "options": job.values})
            lines.append({**record.as_line("begun"), "run": self._run})
            self._noted[record.output] = record
        self._add(lines, at_once=True)

    def _record(self, source: Input, output: Path | str, job: JobOptions) -> Record:
        return Record(
            output=self._storage.name(output), input=self._input_name(source), source=_absolute(source),
            stamp=source.stamp() or Stamp(0, 0), job=job.digest, made=self._stamp_at(output),
        )  # fmt: skip

    def finish(self, record: Record, damage: str = "") -> None:
        """Notes that an output is there, whole."""
        made = self._storage.stamp(record.output, now=True)
        self._noted.pop(record.output, None)
        self._add([dataclasses.replace(record, made=made, damage=damage).as_line("done")])

    def drop(self, record: Record) -> None:
        """Notes that it failed."""
        self._noted.pop(record.output, None)
        self._add([self._dropped(record)])

    def look_again(self, record: Record) -> None:
        """Takes in what other runs have done to an output by now."""
        self.refresh(now=True)
        self._storage.stamp(record.output, now=True)

    def _dropped(self, record: Record) -> Mapping[str, Any]:
        return {"dropped": record.output, "input": record.input, "job": record.job, "run": self._run}

    def check(self) -> None:
        """Makes sure that it can be written, before anything is computed.

        Raises:
            OutputError: it cannot.
        """
        self._storage.check()

    def tidy(self) -> None:
        """At the end of a run: all lines are safe; what was noted and not begun with is dropped; an empty file goes.

        Raises:
            OutputError: lines cannot be written.
        """
        left, self._noted = [*self._noted.values()], {}
        self._coming.clear()
        if left:
            self._add([self._dropped(record) for record in left])
        self._storage.flush()
        self._storage.tidy()

    def folds(self) -> bool:
        """Whether names are the same there that differ in letter case or the form of accents."""
        return self._storage.folds()

    def refresh(self, *, now: bool = False) -> None:
        """Takes in what has been added since, by this run or another one.

        Args:
            now: by other runs too, even where that costs a request.
        """
        for text in self._storage.fresh(now=now):
            self._take(text)

    def _take(self, text: bytes) -> None:
        try:
            line = json.loads(text)
            if "done" in line:
                record = Record.parsed("done", line)
                key = record.input, record.job
                self._done[key] = self._by_output[record.output] = record
                self._begun.pop(key, None)
            elif "begun" in line:
                record = Record.parsed("begun", line)
                self._begun.setdefault((record.input, record.job), {})[str(line["run"])] = record
            elif "dropped" in line:
                self._begun.get((line["input"], line["job"]), {}).pop(line["run"], None)
            else:
                self._jobs.add(line["job"])
        except (ValueError, KeyError, TypeError, IndexError):
            return  # torn by a kill, or of a later version

    def _add(self, lines: Iterable[Mapping[str, Any]], *, at_once: bool = False) -> None:
        self._storage.add([json.dumps(line, default=str).encode() for line in lines], at_once=at_once)
        self.refresh()

    def _input_name(self, source: Input) -> str:
        """Of a source, the same from wherever a run begins."""
        folder, own = self._storage.folder, source.folder
        if isinstance(own, str) or isinstance(folder, str):
            is_same_folder = own == folder
        else:
            is_same_folder = os.path.abspath(own) == os.path.abspath(folder)
        return source.pure_path.name if is_same_folder else source.below_root.as_posix()


def _absolute(source: Input) -> str:
    return source.name if source.is_object else os.path.abspath(source.name)


def outputs_listed_in(folder: Path | str) -> frozenset[tuple[str, int]]:
    """Absolute path, or URL, and size of the outputs that the manifest of a folder or prefix lists."""
    return Manifest(folder).outputs()


def manifest_folder(output: str | None, source: Input) -> Path | str:
    """Where the manifest lies that the output of a source belongs to.

    Args:
        output: as given with -o: the folder itself, or what a template has before its first field; None: each folder
            has its own, so that it is found from wherever a run begins.

    Returns:
        A path, or the URL of a prefix.

    >>> str(manifest_folder("out/{folder}/{stem}{ext}", Input("a.jpg"))), str(manifest_folder(None, Input("b/a.jpg")))
    ('out', 'b')
    """
    if output is None:
        return source.folder
    fixed, brace, _ = output.partition("{")
    if is_object(fixed):
        return as_prefix(fixed) if not brace and is_folder_name(fixed) else parent(fixed)
    return Path(fixed) if (not brace and is_folder_name(fixed)) or fixed.endswith(("/", os.sep)) else Path(fixed).parent
