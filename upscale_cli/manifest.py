"""What is done in a folder of outputs: one JSON object per line, appended, so that a killed run can go on.

The lines, and what follows from them, are in docs/folders.md. A line that a kill has torn is passed over.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import secrets
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

from upscale_cli.batch import Input, is_folder_name
from upscale_cli.errors import OutputError

MANIFEST_NAME: Final = ".upscale-manifest.jsonl"
LOCK_NAME: Final = ".upscale-manifest.lock"

LOCK_SECONDS: Final = 60
"""How long another run may hold the lock for one line; whoever holds it longer is stuck."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells a file from what it was: its size in bytes and its time of change in nanoseconds."""

    size: int
    time: int

    @classmethod
    def of(cls, path: str | Path) -> Self | None:
        """Of a file as it is now; None where there is none."""
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return None
        return cls(status.st_size, status.st_mtime_ns)

    @classmethod
    def parsed(cls, pair: Any) -> Self | None:
        return cls(int(pair[0]), int(pair[1])) if pair else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One output, begun or done.

    Attributes:
        output: its path below the manifest's folder, with slashes.
        input: path of the source below the folder that was named, with slashes.
        source: absolute path of the source.
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
    """The manifest of one folder, as it is on the disk and as this run adds to it.

    Args:
        folder: where it lies; need not exist before the first line is added.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / MANIFEST_NAME
        self._run = secrets.token_hex(4)
        self._read_bytes = 0
        self._jobs: set[str] = set()
        self._done: dict[tuple[str, str], Record] = {}  # by input and job
        self._begun: dict[tuple[str, str], dict[str, Record]] = {}  # by input and job, then by run
        self._by_output: dict[str, Record] = {}  # the last that was done
        self.refresh()

    # What is known

    def finished(self, source: Input, job: JobOptions) -> Record | None:
        """What this very job has made of this very file, if it is still there."""
        name, stamp = self._input_name(source), Stamp.of(source.path)
        forms = dict.fromkeys((name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))))
        keys = [(form, job.digest) for form in forms]  # another system may write accents in another form
        begun = [record for key in keys for record in self._begun.get(key, {}).values()]
        for record in (*map(self._done.get, keys), *map(self._in_place, begun)):
            if record is None or record.stamp != stamp or record.made is None:
                continue
            made = Stamp.of(self.place(record))
            if made is not None and made.size == record.made.size:
                return record
        return None

    def may_replace(self, source: Input, output: Path) -> bool:
        """Whether an output that is there was made by us, from this source, and is as we left it."""
        name = self._name(output)
        begun = [record for record in self._all_begun() if record.output == name]
        records = (self._by_output.get(name), *map(self._in_place, begun))
        made, path = Stamp.of(output), os.path.abspath(source.name)
        return any(record is not None and record.made == made and record.source == path for record in records)

    def outputs(self) -> frozenset[tuple[str, int]]:
        """Absolute path and size of every output."""
        records = (*self._by_output.values(), *map(self._in_place, self._all_begun()))
        return frozenset((os.path.abspath(self.place(one)), one.made.size) for one in records if one and one.made)

    def place(self, record: Record) -> Path:
        """Where the output of a record lies."""
        return self.folder / record.output

    def _all_begun(self) -> Iterator[Record]:
        return (record for records in self._begun.values() for record in records.values())

    def _in_place(self, begun: Record) -> Record | None:
        """An output that was begun and has its name, though no line says so yet: there is another file than before.
        Its run was killed just then, or is about to add the line."""
        made = Stamp.of(self.place(begun))
        return dataclasses.replace(begun, made=made) if made is not None and made != begun.made else None

    # What is added

    def begin(self, source: Input, output: Path, job: JobOptions) -> Record:
        """Notes that a source is about to be read; what comes of it is told by `finish` or `drop`.

        Raises:
            OutputError: the manifest cannot be written.
        """
        record = Record(
            output=self._name(output), input=self._input_name(source), source=os.path.abspath(source.name),
            stamp=Stamp.of(source.path) or Stamp(0, 0), job=job.digest, made=Stamp.of(output),
        )  # fmt: skip
        if job.digest not in self._jobs:
            self._append({"job": job.digest, "options": job.values})
        self._append({**record.as_line("begun"), "run": self._run})
        return record

    def finish(self, record: Record, damage: str = "") -> None:
        """Notes that an output is there, whole."""
        made = Stamp.of(self.place(record))
        self._append(dataclasses.replace(record, made=made, damage=damage).as_line("done"))

    def drop(self, record: Record) -> None:
        """Notes that nothing came of it."""
        self._append({"dropped": record.output, "input": record.input, "job": record.job, "run": self._run})

    def check(self) -> None:
        """Makes the folder and the file.

        Raises:
            OutputError: they cannot be made.
        """
        with self._failures():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.path.open("ab").close()

    def tidy(self) -> None:
        """Takes them away again if they are empty."""
        with contextlib.suppress(OSError):
            if not self.path.stat().st_size:
                self.path.unlink()
                (self.folder / LOCK_NAME).unlink(missing_ok=True)
                self.folder.rmdir()

    def folds(self) -> bool:
        """Whether the file system takes names for the same that differ in letter case or the form of accents."""
        other = self.path.with_name(MANIFEST_NAME.upper())
        return os.name == "nt" or sys.platform == "darwin" or (self.path.exists() and other.exists())

    def refresh(self) -> None:
        """Takes in what has been added since, by this run or another one."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(self._read_bytes)
                data = stream.read()
        except OSError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for text in whole.splitlines():
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

    def _append(self, line: Mapping[str, Any]) -> None:
        data = json.dumps(line, default=str).encode() + b"\n"
        with self._failures():
            self.folder.mkdir(parents=True, exist_ok=True)
            with _locked(self.folder / LOCK_NAME), self.path.open("ab+", buffering=0) as stream:
                if stream.seek(0, os.SEEK_END):
                    stream.seek(-1, os.SEEK_END)
                    data = data if stream.read(1) == b"\n" else b"\n" + data  # after a line that a kill has torn
                stream.write(data)
        self.refresh()

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self.folder}: outputs and the list of them cannot be written there ({error.strerror}). "
                "Choose a folder you may write to with -o."
            ) from error

    def _input_name(self, source: Input) -> str:
        """Of a source, the same from wherever a run begins."""
        is_beside = os.path.abspath(source.path.parent) == os.path.abspath(self.folder)
        return source.path.name if is_beside else source.below_root.as_posix()

    def _name(self, output: Path) -> str:
        """Of an output, below the manifest's folder where it lies there."""
        path, folder = Path(os.path.abspath(output)), Path(os.path.abspath(self.folder))
        return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def outputs_listed_in(folder: Path) -> frozenset[tuple[str, int]]:
    """Absolute path and size of the outputs that a folder's manifest lists."""
    return Manifest(folder).outputs()


def manifest_folder(output: str | None, source: Input) -> Path:
    """Where the manifest lies that the output of a source belongs to.

    Args:
        output: as given with -o: the folder itself, or what a template has before its first field; None: each folder
            has its own, so that it is found from wherever a run begins.

    >>> str(manifest_folder("out/{folder}/{stem}{ext}", Input("a.jpg"))), str(manifest_folder(None, Input("b/a.jpg")))
    ('out', 'b')
    """
    if output is None:
        return source.path.parent
    fixed, brace, _ = output.partition("{")
    return Path(fixed) if (not brace and is_folder_name(fixed)) or fixed.endswith(("/", os.sep)) else Path(fixed).parent


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the lock for one line. Where the file system has no locks, a line that is torn is done again."""
    from filelock import FileLock

    lock = FileLock(path)
    with contextlib.suppress(OSError, NotImplementedError):  # Timeout is an OSError
        lock.acquire(timeout=LOCK_SECONDS)
    try:
        yield
    finally:
        lock.release()
