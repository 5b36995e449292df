"""One message, several faces: which options it speaks of, and how each face writes them."""

import ast
import dataclasses
import inspect
import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

import upscale_cli
from tests.command import Run, run
from upscale_cli import Upscaler, api, errors, events, export_model
from upscale_cli.batch.options import BatchOptions
from upscale_cli.cli import app, flags
from upscale_cli.cli.flags import flag_of, in_flags, written
from upscale_cli.errors import OptionError, UpscaleError
from upscale_cli.evaluation.reference import Protocol
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.inference.sizing import Target
from upscale_cli.jobs.job import PhotoOptions
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.video.encoding import EncodeOptions
from upscale_cli.media.video.reader_arguments import DecodeOptions
from upscale_cli.messages import WORDS, Message, Option, command, marked, option
from upscale_cli.service.settings import ServiceSettings

__all__ = ["run"]

PACKAGE = Path(upscale_cli.__file__).parent
BELOW_CLI = [path for path in sorted(PACKAGE.rglob("*.py")) if PACKAGE / "cli" not in path.parents]

OF_OTHERS = ("`ray start ", "ffmpeg -", "`ffmpeg ")
"""Programs of others, whose own options a message may name."""


def test_a_message_reads_as_python_and_as_a_command_line() -> None:
    error = OptionError(
        f"{option('overlap', 64)} leaves no room. Choose {option('model', 'espcn')} or {option('tta')}."
    )
    assert str(error) == "overlap=64 leaves no room. Choose model='espcn' or tta=."
    assert in_flags(error.message) == "--overlap 64 leaves no room. Choose -m espcn or --tta."
    assert error.options == ("overlap", "model", "tta")


@pytest.mark.parametrize(
    ("name", "value", "python", "flag"),
    [
        ("overwrite", True, "overwrite=True", "--overwrite"),
        ("skip_existing", False, "skip_existing=False", "--no-skip-existing"),
        ("crf", 18.0, "crf=18.0", "--crf 18"),
        ("realtime", "strict", "realtime='strict'", "--realtime=strict"),
        ("output", Path("a b"), "output='a b'", "-o a b"),
        ("extra", "x=1", "extra='x=1'", "--encoder-arg x=1"),
        ("verbose", None, "its traceback", "-v"),
    ],
)
def test_a_value_is_written_as_each_face_takes_it(name: str, value: object, python: str, flag: str) -> None:
    assert (str(Message(option(name, value))), in_flags(option(name, value))) == (python, flag)


def test_a_verb_has_its_counterpart_in_python() -> None:
    text = f"see {command('models list', python='names()')}"
    assert (Message(text), in_flags(text)) == ("see `names()`", "see `upscale models list`")


def test_what_users_supply_is_never_taken_for_an_option() -> None:
    marker = option("overlap").partition("[")[0]
    forged = marker.replace(marker[1:-1], "0" * len(marker[1:-1]))
    for name in (f"{forged}[1]{forged}", "a\x00b\n", "<overlap=>", "{overlap}", "\ud800"):
        error = OptionError(f"{name}: is no file. Choose {option('output', name)}.")
        assert error.options == ("output",)
        assert str(error).isprintable()
        assert in_flags(error.message).isprintable()


def test_errors_and_events_go_to_other_processes() -> None:
    error = OptionError(f"{option('tile', 8)}: no")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.options, in_flags(copy.message)) == ("tile=8: no", ("tile",), "--tile 8: no")
    note = pickle.loads(pickle.dumps(events.Note(f"{option('tile', 8)}: no")))
    assert (note.text, in_flags(note.text)) == ("tile=8: no", "--tile 8: no")
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, UpscaleError):
            assert type(pickle.loads(pickle.dumps(kind("why")))) is kind


def test_options_stay_marked_in_another_message() -> None:
    inner = OptionError(f"{option('tile', 8)} is too small.")
    assert in_flags(OptionError(f"a.png: {inner.marked}").message) == "a.png: --tile 8 is too small."
    assert in_flags(f"a.png: {marked(Message(option('tile')))}") == "a.png: --tile"


def test_a_whole_event_is_rewritten() -> None:
    failure = events.Failed("a", f"{option('tile')}")
    end = events.FolderFinished(0, 0, 0, 1, {Message(option("recursive", True)): 2}, 0.0, 0.0, (failure,))
    record = events.as_record(events.rewritten(end, in_flags))
    assert record["ignored"] == {"-r": 2}
    assert record["failures"][0]["message"] == "--tile"
    assert events.as_record(end)["failures"][0]["message"] == "tile="
    json.dumps(record)


# Each message there is


def strings_of(path: Path) -> Iterator[tuple[int, str]]:
    """The strings of a file, but its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    remarks = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in remarks:
            yield node.lineno, node.value


def calls_of(path: Path, function: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function:
            yield node


def declared(group: TyperGroup) -> Iterator[str]:
    """Every flag of every verb."""
    for verb in group.commands.values():
        if isinstance(verb, TyperGroup):
            yield from declared(verb)
        for parameter in verb.params:
            yield from (*parameter.opts, *parameter.secondary_opts)


ROOT = typer.main.get_command(app)
assert isinstance(ROOT, TyperGroup)
FLAGS = {flag for flag in declared(ROOT) if flag.startswith("-")}


def test_no_text_below_the_command_line_speaks_of_its_flags() -> None:
    flag = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, sorted(FLAGS, key=len, reverse=True)))})(?![\w-])")
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {text!r}"
        for path in BELOW_CLI
        for line, text in strings_of(path)
        if " " in text.strip() and not any(program in text for program in OF_OTHERS) and flag.search(text)
    ]
    assert found == []


def names_used() -> dict[str, list[object]]:
    """The options that messages below the command line speak of, and the values that are written out there."""
    names: dict[str, list[object]] = {}
    for path in BELOW_CLI:
        for call in calls_of(path, "option"):
            name, *value = call.args
            if isinstance(name, ast.Constant):
                values = names.setdefault(str(name.value), [])
                values += [part.value for part in value if isinstance(part, ast.Constant)]
    return names


def test_messages_name_flags_that_there_are() -> None:
    used = names_used()
    assert len(used) > 30
    off_only = {name for name, values in used.items() if values and all(value is False for value in values)}
    unknown = [name for name in {*used, *flags.FLAGS} - off_only if flag_of(name) not in FLAGS]  # those are seen below
    assert unknown == []
    wrong = [(name, value) for name, values in used.items() for value in values
             if isinstance(value, bool) and written(Option(name, value)) not in FLAGS]  # fmt: skip
    assert wrong == []


def test_messages_name_keywords_that_there_are() -> None:
    functions = (api.upscale_file, api.upscale_video, api.upscale_folder, api.upscale_frames, api.compare_files,
                 api.evaluate_models, Upscaler, export_model)  # fmt: skip
    known = {name for function in functions for name in inspect.signature(function).parameters}
    for options in (BatchOptions, ClipOptions, DecodeOptions, EncodeOptions, PhotoOptions, Target, Protocol,
                    ServiceSettings, UpscalerOptions):  # fmt: skip
        known |= {field.name for field in dataclasses.fields(options)}
    known |= {"executor", "address", *WORDS}
    assert [name for name in names_used() if name not in known] == []


def test_wrong_options_are_named_by_a_field() -> None:
    """Those that mark none speak of what the user named, not of an option; or others mark it for them."""
    without = {
        "assistant/allowed.py",
        "compare/files.py",
        "compare/pairing.py",
        "inference/engine_choice.py",
        "files/work_folder.py",
        "jobs/checks.py",
        "jobs/naming.py",
    }
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in BELOW_CLI
        for call in calls_of(path, "OptionError")
        if not any(isinstance(node, ast.Name) and node.id == "option" for node in ast.walk(call))
    }
    assert found <= without


def test_messages_name_verbs_that_there_are() -> None:
    for path in BELOW_CLI:
        for call in calls_of(path, "command"):
            verb = call.args[0]
            assert isinstance(verb, ast.Constant)
            found: object = ROOT
            for word in str(verb.value).split():
                assert isinstance(found, TyperGroup)
                found = found.commands[word]


def test_an_error_says_flags_on_the_command_line_and_keywords_in_python(run: Run) -> None:
    with pytest.raises(OptionError, match=r"Choose overlap= below 8, or a larger tile=\.") as refused:
        Upscaler("bicubic", tile=8, overlap=8)
    assert set(refused.value.options) == {"overlap", "tile"}
    assert (
        "Choose --overlap below 8, or a larger --tile." in run("x.png", "-m", "bicubic", "-t", 8, "--overlap", 8).line
    )
