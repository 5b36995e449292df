"""Jobs: what runs them knows the protocol alone. Plans: made once, in one order, each output reserved."""

import pickle
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.albums import paint
from tests.clips import Clips
from upscale_cli.batch.pending import Pending
from upscale_cli.errors import InterruptedRun, OutputError
from upscale_cli.events import Event, Listener, Note, Progress, each_once, ignore, naming_source, saying_once
from upscale_cli.executors.threads import ThreadExecutor
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.inputs import Input
from upscale_cli.jobs.job import Expected, Job, PhotoOptions, sr_size
from upscale_cli.jobs.naming import Naming
from upscale_cli.jobs.object_job import ObjectJob, prepare_object
from upscale_cli.jobs.outputs import Outputs
from upscale_cli.jobs.plan import Planner
from upscale_cli.jobs.video_facts import ClipOptions

BICUBIC = Upscaler("bicubic", device="cpu")
TWICE = Target(scale=2)


def planner(output: Path, listener: Listener = ignore) -> Planner:
    naming = Naming(f"{output}/", None, TWICE)
    return Planner(naming, PhotoOptions(), ClipOptions, UpscalerOptions(device="cpu"), listener)


def planned(sources: Sequence[Path], output: Path, *models: str) -> list[Job]:
    inputs, made = [Input(str(source)) for source in sources], planner(output)
    outputs = Outputs(inputs, overwrite=False)
    wanted = made.order(inputs, models or ("bicubic",))
    return [made.prepare(made.open(one), outputs).job for one in wanted]


def an_object() -> ObjectJob:
    given, naming = Input("s3://bucket/in/lr.png"), Naming("s3://bucket/out/", None, TWICE)
    return prepare_object(given, BICUBIC, naming, Outputs([given], overwrite=True), PhotoOptions())


@pytest.fixture
def jobs(tmp_path: Path, clips: Clips, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """A photo, a clip and an object, from and to where this process is."""
    monkeypatch.chdir(tmp_path)
    paint(tmp_path / "lr.png", size=(8, 6))
    Path("lr.mp4").write_bytes(clips("plain").read_bytes())
    return [*planned([Path("lr.png"), Path("lr.mp4")], Path("out")), an_object()]


# Jobs


def test_every_job_tells_what_a_run_has_to_know(jobs: list[Job]) -> None:
    photo, clip, remote = jobs
    assert [job.name for job in jobs] == ["lr.png", "lr.mp4", "s3://bucket/in/lr.png"]
    assert [(job.lr_size, sr_size(job)) for job in (photo, remote)] == [((8, 6), (16, 12)), ((0, 0), (0, 0))]
    assert [job.frames for job in (photo, remote)] == [1, None]
    assert photo.megapixels == pytest.approx(16 * 12 / 1e6)
    assert clip.frames is not None
    assert clip.megapixels == pytest.approx(sr_size(clip)[0] * sr_size(clip)[1] * clip.frames / 1e6)
    assert [job.fills_machine for job in jobs] == [False, True, False]
    assert [job.is_local for job in jobs] == [False] * 3
    assert all(job.divided() is None for job in jobs)  # the clip is short


def test_a_job_for_another_process_has_absolute_paths_and_its_own_name(jobs: list[Job], tmp_path: Path) -> None:
    photo, clip, remote = (pickle.loads(pickle.dumps(job.absolute())) for job in jobs)
    assert (photo.source, photo.output) == (tmp_path / "lr.png", tmp_path / "out/lr_2x.png")
    assert (clip.source, clip.output) == (tmp_path / "lr.mp4", tmp_path / "out/lr_2x.mp4")
    assert (remote.source, remote.output) == ("s3://bucket/in/lr.png", "s3://bucket/out/lr_2x.png")
    assert [job.name for job in (photo, clip, remote)] == [job.name for job in jobs]


def test_a_job_may_be_made_to_replace_what_is_there(jobs: list[Job]) -> None:
    assert [job.overwrite for job in jobs] == [False] * 3
    assert [job.replacing().overwrite for job in jobs] == [True] * 3
    assert [type(job.replacing()) for job in jobs] == [type(job) for job in jobs]


def test_photos_and_clips_run_themselves(jobs: list[Job]) -> None:
    for job in jobs[:2]:
        assert job.run(BICUBIC, ignore) == ""
        assert isinstance(job.output, Path)
        assert job.output.exists()


# Plans


def test_photos_come_before_clips_and_every_model_takes_all(tmp_path: Path, clips: Clips) -> None:
    sources = [clips("plain"), paint(tmp_path / "b.png"), paint(tmp_path / "a.png", 1)]
    made = planner(tmp_path / "out")
    wanted = list(made.order([Input(str(source)) for source in sources], ["bicubic", "espcn"]))
    names = [Path(one.source.name).name for one in wanted]
    assert names == ["b.png", "a.png", "plain.mp4"] * 2
    assert [one.model for one in wanted] == ["bicubic"] * 3 + ["espcn"] * 3
    assert [one.clip_options is not None for one in wanted] == [False, False, True] * 2


def test_sources_share_an_upscaler_and_no_output(tmp_path: Path) -> None:
    sources = [paint(tmp_path / name / "lr.png", number) for number, name in enumerate("ab")]
    inputs, made = [Input(str(source)) for source in sources], planner(tmp_path / "out")
    outputs = Outputs(inputs, overwrite=False)
    first, second = (made.open(one) for one in made.order(inputs, ["bicubic"]))
    assert first.upscaler is second.upscaler
    made.prepare(first, outputs)
    with pytest.raises(OutputError, match="is that of"):
        made.prepare(second, outputs)


# Executors


@dataclass(frozen=True)
class Toy:
    """A job that is none of ours."""

    act: Callable[[Listener], str]
    name: str = "toy"
    source: str = "nowhere"
    output: Path = Path("nowhere")
    output_name: str = "nowhere"
    target: Target = TWICE
    lr_size: tuple[int, int] = (1, 1)
    frames: int = 1
    megapixels: float = 0.0
    overwrite: bool = False
    is_local: bool = False
    fills_machine: bool = False

    def absolute(self) -> "Toy":
        return self

    def replacing(self) -> "Toy":
        return replace(self, overwrite=True)

    def divided(self) -> None:
        return None

    def expected(self, upscaler: Upscaler) -> Expected:  # noqa: ARG002
        return Expected()

    def check_machine(self) -> None: ...

    def run(self, upscaler: Upscaler, listener: Listener) -> str:
        assert upscaler is BICUBIC
        return self.act(listener)


def where(_: Listener) -> str:
    return threading.current_thread().name


@pytest.mark.parametrize(
    ("concurrency", "fills_machine", "is_here"), [(2, False, False), (1, False, True), (2, True, True)]
)
def test_threads_run_whatever_is_a_job(concurrency: int, fills_machine: bool, is_here: bool) -> None:
    executor = ThreadExecutor(concurrency)
    ran_in = executor.submit(Toy(where, fills_machine=fills_machine), BICUBIC, ignore).result()
    executor.close()
    assert (ran_in == threading.current_thread().name) == is_here


def test_events_and_ends_come_back_to_the_thread_of_the_run() -> None:
    """Also those of a job that fails; notes say what they are about."""
    reported: list[tuple[str, Event]] = []

    def act(listener: Listener) -> str:
        listener(Note("a note"))
        raise OutputError("no good")

    executor = ThreadExecutor(2)
    pending = Pending[int](executor, lambda event: reported.append((threading.current_thread().name, event)))
    for number in range(4):
        pending.submit(number, Toy(act, name=f"toy {number}"), BICUBIC)
    ends = dict(pending.ended(0))
    executor.close()
    assert sorted(ends) == list(range(4))
    assert all(isinstance(future.exception(), OutputError) for future in ends.values())
    here = threading.current_thread().name
    assert sorted(reported, key=str) == [(here, Note("a note", f"toy {number}")) for number in range(4)]


def test_a_closed_executor_breaks_off_what_is_in_progress() -> None:
    begun, executor = threading.Event(), ThreadExecutor(2)

    def act(listener: Listener) -> str:
        begun.set()
        while True:
            listener(Progress("toy", 0, 1, 0.0))

    future = executor.submit(Toy(act), BICUBIC, ignore)
    begun.wait()
    executor.close()
    assert isinstance(future.exception(), InterruptedRun)


# Notes


def test_repeated_notes_are_left_out_and_say_what_they_are_about() -> None:
    lines: list[str] = []
    events: list[Event] = []
    say = each_once(lines.append)
    note = saying_once(naming_source(events.append, "lr.png"))
    for text in ("one", "two", "one"):
        say(text)
        note(text)
    assert lines == ["one", "two"]
    assert events == [Note("one", "lr.png"), Note("two", "lr.png")]
