"""Work on a Ray cluster of four nodes on this machine: nothing lost, nothing twice, nothing half, if one dies."""

import contextlib
import json
import math
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.albums import paint
from tests.clips import Clips
from tests.command import Run
from tests.examine import examine
from tests.test_video_resume import assert_same_file, work_of
from tests.waiting import PATIENCE, until
from upscale_cli.errors import DeviceError, InputError, InterruptedRun, OptionError
from upscale_cli.events import Event, Finished, Started, ignore
from upscale_cli.executors.ray.shared_files import Probe
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.inputs import Input
from upscale_cli.jobs.job import PhotoOptions
from upscale_cli.jobs.naming import Naming
from upscale_cli.jobs.outputs import Outputs
from upscale_cli.jobs.photo import PhotoJob
from upscale_cli.jobs.prepare import prepare_photo
from upscale_cli.jobs.prepare_video import open_clip, prepare_video
from upscale_cli.jobs.video import VideoJob
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.jobs.video_resume import run_resumable
from upscale_cli.media.image.reader_writer import ImageWriter
from upscale_cli.media.video.encoding import EncodeOptions

ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="a cluster of several nodes is made on Linux only"),
    pytest.mark.xdist_group("ray"),  # one cluster is enough
]

REPOSITORY = Path(__file__).resolve().parents[1]
STORE = 80 * 2**20
QUICK = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 500, "health_check_failure_threshold": 3,
         "worker_register_timeout_seconds": int(PATIENCE)}  # fmt: skip
"""How soon a node that has gone is known to have; and how long a worker may take to start."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head without a CPU and three nodes of one CPU each, in processes of their own, which end with these tests.

    Where /dev/shm is small, as in containers, Ray would warn: nothing of ours goes through its store, so it lies in a
    plain folder.
    """
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "UPSCALE_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join((str(REPOSITORY), os.environ.get("PYTHONPATH", ""))),
        }.items():  # fmt: skip
            patch.setenv(name, value)
        patch.delenv("RAY_ADDRESS", raising=False)
        waiting = Cluster._wait_for_node  # half a minute by itself
        patch.setattr(Cluster, "_wait_for_node", lambda nodes, node: waiting(nodes, node, PATIENCE))
        store = {"object_store_memory": STORE, "plasma_directory": str(tmp_path_factory.mktemp("store"))}
        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": QUICK, **store}
        nodes = Cluster(initialize_head=True, head_node_args=head)
        nodes.store = store
        for _ in range(3):
            nodes.add_node(num_cpus=1, **store)
        yield nodes
        nodes.shutdown()


@pytest.fixture
def reported() -> list[str]:
    return []


@pytest.fixture
def executor(cluster: Any, reported: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """One that does not mind how long its workers take to start: on a busy machine that would be a note more."""
    from upscale_cli.executors.ray import executor
    from upscale_cli.executors.ray.executor import open_ray_executor

    monkeypatch.setattr(executor, "PATIENCE_SECONDS", math.inf)
    monkeypatch.setattr(executor, "STOPPING_SECONDS", PATIENCE)
    made = open_ray_executor(cluster.address, reported.append)
    yield made
    made.close()


@pytest.fixture
def album(tmp_path: Path) -> list[Path]:
    return [paint(tmp_path / "in" / f"{number}.png", number, (64, 48)) for number in range(12)]


def upscaler(model: str = "espcn") -> Upscaler:
    return Upscaler(model, device="cpu")


def photo(source: Path, output: Path, net: Upscaler, **options: Any) -> PhotoJob:
    given = Input(str(source))
    naming = Naming(str(output), None, Target(scale=2))
    return prepare_photo(given, net, naming, Outputs([given], overwrite=False), PhotoOptions(**options))


def clip(source: Path, output: Path, **options: Any) -> VideoJob:
    given, chosen = Input(str(source)), ClipOptions(**{"encode": EncodeOptions(preset="ultrafast"), **options})
    naming = Naming(str(output), None, Target(scale=2))
    outputs = Outputs([given], overwrite=False)
    return prepare_video(given, open_clip(given, chosen), upscaler("bicubic"), naming, outputs, chosen)


def made_here(album: list[Path], folder: Path) -> dict[str, bytes]:
    """What this process makes of it."""
    folder.mkdir()
    net = upscaler()
    for source in album:
        photo(source, folder / source.name, net).run(net, ignore)
    return content(folder)


def content(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@dataclass(frozen=True)
class Held(PhotoJob):
    """A photo that stays in progress on its worker until a gate opens.

    Attributes:
        gate: a folder: who has come to it leaves a file there, named by the process; open once "open" is in it.
    """

    gate: Path = Path()

    def writer(self, info: Any, say: Any) -> ImageWriter:
        (self.gate / f"{os.getpid()}").touch()
        until((self.gate / "open").exists)
        return super().writer(info, say)


class Gate:
    """Holds jobs back on their workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def holding(self, job: PhotoJob) -> Held:
        return Held(**{one.name: getattr(job, one.name) for one in fields(job)}, gate=self.folder)

    def pids(self) -> list[int]:
        """Of the workers that have come to it and are alive."""
        pids = [int(path.name) for path in self.folder.iterdir() if path.name != "open"]
        return [pid for pid in pids if psutil.pid_exists(pid)]

    def open(self) -> None:
        (self.folder / "open").touch()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path / "gate")
    yield made
    made.open()


def log_folder() -> Path:
    """Where the workers' logs lie."""
    return Path(ray._private.worker.global_worker.node.get_logs_dir_path())


def test_these_tests_share_one_process_and_its_cluster(request: pytest.FixtureRequest) -> None:
    is_grouped = request.node.nodeid.endswith("@ray")
    assert is_grouped or not request.config.getoption("loadgroup", False), "pytest-xdist does not know this pytest"


# Photos


@pytest.mark.slow
def test_a_folder_is_what_this_machine_makes_of_it(
    executor: Any, album: list[Path], tmp_path: Path, reported: list[str]
) -> None:
    here, out, net = made_here(album, tmp_path / "here"), tmp_path / "out", upscaler()
    out.mkdir()
    events: list[Event] = []
    jobs = [photo(source, out / source.name, net) for source in album]
    futures = [executor.submit(job, net, events.append) for job in jobs]
    assert [future.result() for future in futures] == [""] * len(album)
    assert content(out).items() >= here.items()
    assert len([event for event in events if isinstance(event, Started)]) == len(album)
    assert {event.source for event in events if isinstance(event, Finished)} == {job.name for job in jobs}
    assert executor.concurrency == 6
    executor.close()
    assert content(out) == here
    assert reported == []


@pytest.mark.slow
def test_errors_come_back_as_they_are(executor: Any, album: list[Path], tmp_path: Path) -> None:
    net = upscaler()
    job = photo(album[0], tmp_path / "out.png", net)
    album[0].write_bytes(album[0].read_bytes()[:100])
    with pytest.raises(InputError) as here:
        job.run(net, ignore)
    with pytest.raises(InputError) as there:
        executor.submit(job, net, ignore).result()
    assert str(there.value) == str(here.value)
    album[1].unlink()
    with pytest.raises(InputError):
        executor.submit(replace(job, source=album[1]), net, ignore).result()
    assert not (tmp_path / "out.png").exists()


@pytest.mark.slow
def test_relative_paths_are_this_process_own(executor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(paint(tmp_path / "in/0.png").parents[1])
    net = upscaler()
    assert executor.submit(photo(Path("in/0.png"), Path("out.png"), net), net, ignore).result() == ""
    assert (tmp_path / "out.png").exists()


# Who dies


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(executor: Any, album: list[Path], tmp_path: Path, gate: Gate) -> None:
    here, out, net = made_here(album, tmp_path / "here"), tmp_path / "out", upscaler()
    out.mkdir()
    held = [gate.holding(photo(source, out / source.name, net)) for source in album]
    futures = [executor.submit(job, net, ignore) for job in held]
    until(lambda: len(gate.pids()) == 3)
    psutil.Process(gate.pids()[0]).kill()
    until(lambda: len(gate.pids()) == 3)  # another one has begun with what it had in progress
    gate.open()
    assert [future.result() for future in futures] == [""] * len(album)
    executor.close()
    assert content(out) == here


@pytest.mark.slow
def test_a_job_that_kills_its_workers_is_given_up(executor: Any, album: list[Path], tmp_path: Path, gate: Gate) -> None:
    net = upscaler()
    future = executor.submit(gate.holding(photo(album[0], tmp_path / "out.png", net)), net, ignore)
    killed = 0
    while not future.done():
        for pid in gate.pids():
            with contextlib.suppress(psutil.Error):
                psutil.Process(pid).kill()
                killed += 1
        time.sleep(0.01)
    with pytest.raises(
        DeviceError, match=r"0.png: 3 workers have died during this job .its process was killed or crashed"
    ):
        future.result()
    assert killed >= 3
    assert not (tmp_path / "out.png").exists()


@pytest.mark.slow
def test_an_output_that_was_whole_before_its_worker_died_is_not_made_again(
    executor: Any, album: list[Path], tmp_path: Path
) -> None:
    from upscale_cli.executors.ray.worker import request_for
    from upscale_cli.executors.ray.worker_thread import Task

    net, output = upscaler(), tmp_path / "out.png"
    task = Task(request_for(photo(album[0], output, net), net), ignore)
    assert task.begins()
    output.write_bytes(b"whole")
    executor.again(task, killed_worker=True, why="killed")
    assert task.future.result(timeout=0) == ""
    assert output.read_bytes() == b"whole"
    output.unlink()
    executor.again(task, killed_worker=True, why="killed")  # just behind it: nothing more is to be done
    executor.close()
    assert task.future.result(timeout=0) == ""


@pytest.mark.slow
def test_a_node_that_goes_takes_nothing_along(
    cluster: Any, executor: Any, album: list[Path], tmp_path: Path, gate: Gate
) -> None:
    here, out, net = made_here(album, tmp_path / "here"), tmp_path / "out", upscaler()
    out.mkdir()
    held = [gate.holding(photo(source, out / source.name, net)) for source in album]
    futures = [executor.submit(job, net, ignore) for job in held]
    until(lambda: len(gate.pids()) == 3)
    cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
    try:
        until(lambda: executor.room == 2)
        gate.open()
        assert [future.result() for future in futures] == [""] * len(album)
    finally:
        cluster.add_node(num_cpus=1, **cluster.store)
    until(lambda: executor.room == 3)  # one that comes is noticed
    executor.close()
    assert content(out) == here


@pytest.fixture
def large(tmp_path: Path) -> list[Path]:
    """Pictures of several tiles, that take a worker a second or more."""
    return [paint(tmp_path / "in" / f"{number}.png", number, (1200, 900)) for number in range(4)]


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_half_done(executor: Any, large: list[Path], tmp_path: Path) -> None:
    out, net = tmp_path / "out", upscaler()
    out.mkdir()
    begun: list[Event] = []
    futures = [executor.submit(photo(source, out / source.name, net), net, begun.append) for source in large]
    until(lambda: begun)
    executor.close()
    for future in futures:
        with contextlib.suppress(InterruptedRun):
            future.result(timeout=0)
    assert all(name.endswith(".png") and not name.startswith(".") for name in content(out))


# Who is refused


@pytest.mark.slow
def test_a_worker_of_another_version_is_refused(executor: Any, album: list[Path], tmp_path: Path, reported: list[str],
                                                monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("upscale_cli.executors.ray.worker_thread.__version__", "99")
    net = upscaler()
    with pytest.raises(DeviceError, match=r"no node of the cluster can be used: upscale-cli is .* there and 99 here"):
        executor.submit(photo(album[0], tmp_path / "out.png", net), net, ignore).result()
    assert any("is not used" in line for line in reported)


@pytest.mark.slow
def test_a_worker_with_another_checkpoint_is_refused(
    executor: Any, album: list[Path], tmp_path: Path, reported: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = upscaler()
    identity = net.identity()
    monkeypatch.setattr(net, "identity", lambda: {**identity, "checkpoints": {"2": "0" * 64}})
    with pytest.raises(DeviceError, match="it has another espcn than where the run began"):
        executor.submit(photo(album[0], tmp_path / "out.png", net), net, ignore).result()
    assert len(reported) == 3


class OnlyHere(Probe):
    """Seen by one process alone: `size` is its number."""

    __slots__ = ()

    def is_seen(self) -> bool:
        return os.getpid() == self.size


@pytest.mark.slow
def test_a_file_that_changes_meanwhile_is_no_fault_of_a_node(
    executor: Any, album: list[Path], tmp_path: Path, reported: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upscale_cli.executors.ray.shared_files.Probes.probes_for", lambda *_: (Probe(album[0], 1),))
    net = upscaler()
    assert executor.submit(photo(album[0], tmp_path / "out.png", net), net, ignore).result() == ""
    assert not reported


@pytest.mark.slow
def test_a_worker_that_does_not_see_the_folder_is_refused(
    executor: Any, album: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = OnlyHere(tmp_path / "in", os.getpid())
    monkeypatch.setattr("upscale_cli.executors.ray.shared_files.Probes.probes_for", lambda *_: (here,))
    net = upscaler()
    with pytest.raises(DeviceError, match=r"/in is not there what it is .* shared file system"):
        executor.submit(photo(album[0], tmp_path / "out.png", net), net, ignore).result()


# Clips


@pytest.fixture
def film(clips: Clips) -> Path:
    """Five segments."""
    return clips("film")


@pytest.fixture
def whole(film: Path, tmp_path: Path) -> Path:
    """What one process makes of it, in turn."""
    output = tmp_path / "whole.mp4"
    run_resumable(clip(film, output, resume=True), upscaler("bicubic"), ignore)
    return output


@pytest.mark.slow
def test_a_clip_in_segments_over_three_workers(
    executor: Any, album: list[Path], film: Path, whole: Path, tmp_path: Path, gate: Gate
) -> None:
    output, net = tmp_path / "out.mp4", upscaler()
    held = [gate.holding(photo(source, tmp_path / f"out_{source.name}", net)) for source in album[:3]]
    photos = [executor.submit(job, net, ignore) for job in held]
    future: Future[str] = executor.submit(clip(film, output), upscaler("bicubic"), ignore)
    until(lambda: len(gate.pids()) == 3)
    pids = gate.pids()
    gate.open()
    assert future.result() == ""
    assert [one.result() for one in photos] == [""] * 3
    logs = "".join(path.read_text() for pid in pids for path in log_folder().glob(f"worker-*-{pid}.err"))
    assert all(f"film.mp4, segment {number}: done" in logs for number in range(1, 6))
    assert_same_file(examine(whole), examine(output))
    assert not work_of(output).exists()


# The command line


@pytest.mark.slow
def test_a_driver_that_is_killed_goes_on(
    cluster: Any, album: list[Path], film: Path, whole: Path, tmp_path: Path
) -> None:
    """Photos are known by the manifest, the clip's segments by its journal."""
    out, folder = tmp_path / "out", album[0].parent
    shutil.copy(film, folder)
    command = [sys.executable, "-m", "upscale_cli", str(folder), "-o", str(out), "--ray", cluster.address]
    command += ["-m", "bicubic", "-s", "2", "--preset", "ultrafast"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    killing = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = work_of(out / "film_2x.mp4") / "journal.jsonl"
    until(lambda: (journal.exists() and journal.read_text().count("\n") > 1) or killing.poll() is not None)
    killing.kill()
    killing.wait()
    assert '"file"' in journal.read_text()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 done, 12 skipped" in " ".join(done.stderr.split())
    assert_same_file(examine(whole), examine(out / "film_2x.mp4"))
    for path in out.glob(".upscale-*.part"):  # of the run that was killed; young ones are left alone
        os.utime(path, (0, 0))
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "13 skipped" in " ".join(again.stderr.split())
    made = {path.name for path in out.iterdir() if not path.name.startswith(".upscale-manifest")}
    assert made == {"film_2x.mp4", *(f"{number}_2x.png" for number in range(len(album)))}


@pytest.mark.slow
def test_the_worker_of_a_service_has_the_cluster_do_its_jobs(
    cluster: Any, album: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pydantic", reason="the extra [serve] is not installed")
    from upscale_cli.service import worker_process
    from upscale_cli.service.messages_between import Ended, Task, Unable, WorkerSetup
    from upscale_cli.service.request import owned, parsed, request_of

    monkeypatch.setattr(worker_process._Worker, "_listen", lambda _: None)  # with the pipe it would end this process
    here, there = multiprocessing.Pipe()
    worker_process._Worker(there, WorkerSetup(tmp_path / "lock", "auto", None, "nowhere")).run()
    unable = here.recv()
    assert isinstance(unable, Unable)
    assert "is no address" in unable.reason

    worker = worker_process._Worker(there, WorkerSetup(tmp_path / "lock", "auto", None, cluster.address))
    request = owned(
        request_of(parsed('{"model": "espcn", "target": {"scale": 2}}')), engine="torch", max_pixels=10**6,
        max_memory=None,
    )  # fmt: skip
    for number, source in enumerate(album[:3]):
        worker._tasks.put(Task(str(number), source, tmp_path / str(number), request, 10**6))
    ended: dict[str, Ended] = {}

    def follow() -> None:
        while len(ended) < 3:
            message = here.recv()
            if isinstance(message, Ended):
                ended[message.id] = message
        worker._tasks.put(None)

    follower = threading.Thread(target=follow)
    follower.start()
    worker.run()
    follower.join()
    net = Upscaler("espcn", device="cpu", engine="torch")
    for number, source in enumerate(album[:3]):
        assert ended[str(number)].how == "done", ended[str(number)].message
        here_made = tmp_path / f"here{number}.png"
        photo(source, here_made, net).run(net)
        made = tmp_path / str(number) / ended[str(number)].result
        assert made.read_bytes() == here_made.read_bytes()


@pytest.mark.slow
def test_a_folder_with_a_broken_file(cluster: Any, run: Run, album: list[Path], tmp_path: Path) -> None:
    album[3].write_bytes(album[3].read_bytes()[:200])
    outcome = run(album[0].parent, "-o", tmp_path / "out", "--ray", cluster.address, "-m", "espcn", "-s", 2)
    assert outcome.code == 1
    assert "11 done" in outcome.err
    assert "3.png" in outcome.err
    assert {path.name for path in (tmp_path / "out").glob("*_2x.png")} == {
        f"{number}_2x.png" for number in range(len(album)) if number != 3
    }


# What a worker gets of its node


def test_gpus_are_shared_where_two_workers_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    from upscale_cli.executors.ray import nodes
    from upscale_cli.executors.ray.nodes import Need, Node, need_of

    cluster = [Node("a", "a", 8.0, 2.0), Node("b", "b", 8.0, 0.0)]
    net = upscaler()
    monkeypatch.setattr(net, "recipe", replace(net.recipe, options=UpscalerOptions(device="auto")))
    for memory, share in ((80, 0.5), (1, 1.0)):
        monkeypatch.setattr(nodes, "gpu_memory", lambda _, memory=memory: memory * 2**30)
        need = need_of(net, cluster)
        assert need == Need("cuda", 1, 1, share)
        assert [node.room(need) for node in cluster] == [2 / share, 0]


@pytest.mark.parametrize(
    ("cpus", "given", "threads"),
    [([8, 8, 2], "", 4), ([2, 2, 8], "", 2), ([1, 1], "", 1), ([3], "", 1), ([8], "3", 3), ([2, 2], "16", 2)],
)
def test_threads_of_a_worker(cpus: list[int], given: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from upscale_cli.executors.ray.nodes import Need, Node, need_of

    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert need_of(upscaler(), [Node(str(one), "", one, 0.0) for one in cpus]) == Need("cpu", threads, threads)


def test_a_device_that_no_node_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from upscale_cli.executors.ray.nodes import Node, need_of

    net = upscaler()
    with pytest.raises(DeviceError, match="no node of the cluster has a CPU"):
        need_of(net, [Node("a", "a", 0.0, 0.0)])
    monkeypatch.setattr(net, "recipe", replace(net.recipe, options=UpscalerOptions(device="cuda")))
    with pytest.raises(DeviceError, match="no node of the cluster has a GPU"):
        need_of(net, [Node("a", "a", 8.0, 0.0)])


# The address


@pytest.mark.slow
def test_auto_is_what_the_environment_names(cluster: Any, reported: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from upscale_cli.executors.ray.executor import open_ray_executor

    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    executor = open_ray_executor("auto", reported.append)
    assert executor.concurrency >= 1
    executor.close()
    assert not reported


def test_without_ray_the_extra_is_named(run: Run, album: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("upscale_cli.executors.ray.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    outcome = run(album[0], "--ray", "auto", "-m", "bicubic")
    assert outcome.code == 2
    assert 'pip install "upscale-cli[ray]"' in outcome.line


@pytest.mark.parametrize(
    ("address", "kind", "reported"),
    [
        ("127.0.0.1:1", DeviceError, "no cluster answers there"),
        ("nonsense", OptionError, "HOST:PORT"),
        ("host:seven", OptionError, "HOST:PORT"),
        ("ray://127.0.0.1:10001", OptionError, "on a machine of the cluster"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_line(address: str, kind: type[Exception], reported: str) -> None:
    from upscale_cli.executors.ray.executor import open_ray_executor

    with pytest.raises(kind, match=reported) as raised:
        open_ray_executor(address, print)
    assert "\n" not in str(raised.value)


# The doctor


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a node takes to answer."""
    monkeypatch.setattr("upscale_cli.executors.ray.report.ANSWERING_SECONDS", PATIENCE)


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_the_doctor_looks_at_every_node(cluster: Any, run: Run, tmp_path: Path) -> None:
    outcome = run("doctor", "--ray", cluster.address, "--folder", tmp_path, "--json")
    assert outcome.code == 0, outcome.out + outcome.err
    findings = [json.loads(line) for line in outcome.out.splitlines()]
    assert "4 nodes, 3 CPUs, 0 GPUs" in findings[0]["found"]
    assert sum("torch" in finding["found"] for finding in findings) == 4
    assert sum(f"{tmp_path} is seen" in finding["found"] for finding in findings) == 4
    assert Path(findings[-1]["found"].split(" on every")[0]).is_dir()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_the_doctor_tells_what_is_wrong(
    cluster: Any, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upscale_cli.executors.ray.worker.__version__", "99")
    monkeypatch.setattr(
        "upscale_cli.executors.ray.shared_files.Probes.probe_in", lambda _, folder: Probe(folder / "gone", 1)
    )
    outcome = run("doctor", "--ray", cluster.address, "--folder", tmp_path)
    assert outcome.code == 1
    assert outcome.out.count("there and 99 here") == 4
    assert outcome.out.count("is not the folder that this machine sees") == 4


def test_the_doctor_without_a_cluster(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert "no cluster answers" in run("doctor", "--ray", "127.0.0.1:1").line
    assert "goes with --ray only" in run("doctor", "--folder", tmp_path).line
