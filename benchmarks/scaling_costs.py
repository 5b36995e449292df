"""What a job costs without its net: its dispatch by the driver, files, and one cluster call. Inputs of `scaling.py`.

    python -m benchmarks.scaling_costs [--files 2000] [PICTURE ...]

The driver is a real folder run whose executor does nothing. Pictures are made here, and may be named, too: the
SR whose bytes count is that of the bundled photo-lite. The call is one actor of a local Ray cluster that answers a
request with as many events as a photo has; it is left out where Ray is not installed. Seconds of the processor, one
thread, unless a name says otherwise.
"""

import argparse
import importlib.util
import logging
import os
import pickle
import random
import subprocess
import tempfile
import threading
import time
import tracemalloc
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from benchmarks.clips import cpu_seconds, ffmpeg, make_clip, pan
from benchmarks.report import photo, write
from upscale_cli.batch.choice import Choice, Sources
from upscale_cli.batch.discovery import find_sources
from upscale_cli.batch.folder import FolderRun
from upscale_cli.batch.manifest_file import MANIFEST_NAME
from upscale_cli.batch.options import Rules
from upscale_cli.events import Event, Surveyed, ignore
from upscale_cli.executors.executor import Executor
from upscale_cli.files import object_listing
from upscale_cli.files.stamp import Stamp
from upscale_cli.frames.image import Frame
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.job import PhotoOptions
from upscale_cli.jobs.naming import Naming
from upscale_cli.jobs.object_job import ObjectJob
from upscale_cli.jobs.plan import Planner
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.image.reader_writer import ImageReader, ImageWriter

if TYPE_CHECKING:
    from tests.stores import Bucket
    from upscale_cli.events import Listener

MANY_SLOTS = (1, 100, 1000)
OBJECTS = 512
WAITING_SLOTS = (1, 4, 16, 64, 128)
WAIT_SECONDS = 0.02
JOBS_PER_SLOT = 100
SIDE = 2000
FRAMES = 60
COPIES = 200
USUAL_SR = ("-c:v", "libx264", "-crf", "18", "-preset", "medium")
"""What `media.video.codecs` takes for H.264 without options."""

EVENTS = (4, 20)
"""Four are what a small photo sends: taken, started, finished, outcome. The rest is progress."""
CALLS = 1600
CALLERS = (1, 4, 16)


def main() -> None:
    """Writes benchmarks/scaling_costs.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("pictures", nargs="*", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        files = tiny_files(Path(name) / "in", arguments.files)
        result = {
            "driver": driver(Path(name), files),
            "waiting_crew": waiting_executor(Path(name), files),
            "pictures": {
                "made": pictures(Path(name), [photo(SIDE, SIDE)]),
                **({"named": pictures(Path(name), [opened(path) for path in arguments.pictures])}
                   if arguments.pictures else {}),
            },
        }  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        result["clips"] = clips(Path(name))
    if importlib.util.find_spec("s3fs") is not None and importlib.util.find_spec("moto") is not None:
        with tempfile.TemporaryDirectory() as name:
            result["driver_requests_per_job"] = driver_on_objects(Path(name))
    if importlib.util.find_spec("ray") is not None:
        result["ray_call"] = ray_call()
    question = "What a job costs without its net: the driver, files, one cluster call. Page cache warm."
    write("scaling_costs", question, {"files": arguments.files, **result})


def tiny_files(folder: Path, count: int) -> Path:
    """So many pictures of 8 x 8 pixels, of which only the headers are read."""
    folder.mkdir()
    first = folder / "00000.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(first)
    for number in range(1, count):
        (folder / f"{number:05}.png").write_bytes(first.read_bytes())
    return folder


def opened(path: Path) -> Any:
    """The RGB pixels of a picture."""
    with Image.open(path) as picture:
        return np.array(picture.convert("RGB"))


# The driver


class IdleExecutor:
    """Does nothing, and reports the end: at once, or of a random job when all slots are full."""

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self._held: list[Future[str]] = []
        self._random = random.Random(0)

    def submit(self, *_: object) -> "Future[str]":
        """See `Executor`."""
        self._held.append(Future())
        held = self._held[-1]
        if len(self._held) >= self.concurrency:
            self._end(self._random.randrange(len(self._held)))
        return held

    def _end(self, number: int) -> None:
        self._held[number], self._held[-1] = self._held[-1], self._held[number]
        self._held.pop().set_result("")

    def close(self) -> None:
        """See `Executor`."""


class LastOut(IdleExecutor):
    """One whose last jobs end too, from another thread, when no more come."""

    def __init__(self, concurrency: int) -> None:
        super().__init__(concurrency)
        self._lock, self._last = threading.RLock(), time.monotonic()
        threading.Thread(target=self._drain, daemon=True).start()

    def submit(self, *_: object) -> "Future[str]":
        """See `Executor`."""
        with self._lock:
            self._last = time.monotonic()
            return super().submit()

    def _drain(self) -> None:
        while True:
            time.sleep(0.5)
            with self._lock:
                while self._held and time.monotonic() - self._last > 1:
                    self._end(0)


class WaitingExecutor:
    """Takes a fixed time for each job, and no processor."""

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self._threads = ThreadPoolExecutor(concurrency)

    def submit(self, *_: object) -> "Future[str]":
        """See `Executor`."""
        return self._threads.submit(self._wait)

    @staticmethod
    def _wait() -> str:
        time.sleep(WAIT_SECONDS)
        return ""

    def close(self) -> None:
        """See `Executor`."""
        self._threads.shutdown()


class Surveying:
    """Notes when the survey of a run has ended: by the processor, by the clock, and what Python holds then."""

    def __init__(self) -> None:
        self.cpu = self.clock = self.held = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Surveyed):
            self.cpu, self.clock = time.process_time(), time.perf_counter()
            self.held = tracemalloc.get_traced_memory()[0]


def folder_run(executor: Executor, files: Path, output: Path, listener: "Listener") -> int:
    """A folder run as the command line makes one, with another executor; gives how many jobs there were."""
    return run_of(
        Naming(f"{output}/", None, Target(scale=2)), executor, find_sources([str(files)], (), Choice()), listener
    )


def run_of(naming: Naming, executor: Executor, sources: Sources, listener: "Listener") -> int:
    """The same of any sources."""
    planner = Planner(naming, PhotoOptions(), ClipOptions, UpscalerOptions(device="cpu"), listener)
    folder = FolderRun(planner, ["bicubic"], Rules(), executor)
    assert folder.all(sources) == 0
    return folder.tally.done


def driver(folder: Path, files: Path) -> dict[str, Any]:
    """Seconds and bytes per job, by how many jobs are in progress."""
    cases = {}
    for slots in (1, *MANY_SLOTS):  # the first warms up
        output, survey = folder / f"out{slots}", Surveying()
        begin = time.process_time()
        jobs = folder_run(LastOut(slots), files, output, survey)
        end = time.process_time()
        manifest = (output / MANIFEST_NAME).stat().st_size
        cases[str(slots)] = {
            "survey_s_per_job": round((survey.cpu - begin) / jobs, 6),
            "work_s_per_job": round((end - survey.cpu) / jobs, 6),
            "manifest_bytes_per_job": round(manifest / jobs),
        }
        for file in output.iterdir():
            file.unlink()
    return {"held_bytes_per_job": held(folder, files), "jobs_under_way": cases}


def held(folder: Path, files: Path) -> int:
    """Bytes of Python objects per job, once all are surveyed."""
    survey = Surveying()
    tracemalloc.start()
    begin = tracemalloc.get_traced_memory()[0]
    jobs = folder_run(IdleExecutor(1), files, folder / "held", survey)
    tracemalloc.stop()
    return round((survey.held - begin) / jobs)


def waiting_executor(folder: Path, files: Path) -> dict[str, Any]:
    """Jobs per second of an executor that only waits: what `scaling_model` has to come to for the same."""
    rates = {}
    for slots in WAITING_SLOTS:
        some, survey = few(folder / f"few{slots}", files, JOBS_PER_SLOT * slots), Surveying()
        jobs = folder_run(WaitingExecutor(slots), some, folder / f"waited{slots}", survey)
        rates[str(slots)] = {
            "jobs": jobs,
            "jobs_per_second": round(jobs / (time.perf_counter() - survey.clock), 2),
            "work_s_per_job": round((time.process_time() - survey.cpu) / jobs, 6),
        }
    return {"wait_s": WAIT_SECONDS, "hands": rates}


def few(folder: Path, files: Path, count: int) -> Path:
    """A folder with some of the files."""
    folder.mkdir()
    for file in sorted(files.iterdir())[:count]:
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


class ExecutorElsewhere(IdleExecutor):
    """One whose outputs are put by another process, which tells their stamps, as a worker of a cluster does."""

    def __init__(self, concurrency: int, bucket: "Bucket") -> None:
        super().__init__(concurrency)
        self._bucket = bucket

    def submit(self, *given: object) -> "Future[str]":
        """See `Executor`."""
        (job, *_) = given
        assert isinstance(job, ObjectJob)
        url, sr = str(job.output), b"SR"
        self._bucket.put(url.removeprefix(f"{self._bucket.url}/"), sr)
        object_listing.seen(url, Stamp(len(sr), time.time_ns()))
        return super().submit()


def driver_on_objects(folder: Path) -> dict[str, float]:
    """Requests to the store that the driver makes for each job, others than those of the workers."""
    from tests.stores import ENVIRONMENT, Store

    lr = saved(folder / "lr.jpg", photo(8, 8))
    with Store() as store:
        os.environ |= {**ENVIRONMENT, "AWS_ENDPOINT_URL": store.url}
        bucket = store.bucket("scaling")
        for number in range(OBJECTS):
            bucket.put(f"in/{number}.jpg", lr)
        store.reset()
        naming = Naming(f"{bucket.url}/out/", None, Target(scale=2))
        executor = ExecutorElsewhere(1, bucket)
        assert run_of(naming, executor, find_sources([f"{bucket.url}/in/"], (), Choice()), ignore) == OBJECTS
        store.requests["PUT"] -= OBJECTS  # the workers'
        return {kind: round(count / OBJECTS, 4) for kind, count in sorted(store.requests.items())}


# Pictures


def pictures(folder: Path, lrs: Sequence[Any]) -> dict[str, Any]:
    """Bytes and seconds per megapixel of files in and out; the SR is that of photo-lite, seen in a crop of each."""
    upscaler = Upscaler("photo-lite", device="cpu")
    totals: dict[str, dict[str, float]] = {}
    for number, lr in enumerate(lrs):
        crop = np.ascontiguousarray(lr[:768, :768])
        plan = upscaler.plan(crop.shape[1], crop.shape[0], Target(scale=4))
        seen = upscaler.upscale(first_frame(saved(folder / f"crop{number}.png", crop)), plan)
        for ending, quality in (("jpg", 95), ("png", None)):
            source = saved(folder / f"lr{number}.{ending}", lr)
            with measured(totals, f"lr_{ending}", source, lr.shape[0] * lr.shape[1], "decode_s"):
                first_frame(source)
            target = folder / f"sr{number}.{ending}"
            with measured(totals, f"sr_{ending}", target, seen.width * seen.height, "encode_s"):
                encoded(target, source, seen, quality)
    return {
        name: {key: round(value / one["megapixels"], 4) for key, value in one.items() if key != "megapixels"}
        for name, one in totals.items()
    }


def saved(path: Path, pixels: Any) -> Path:
    """A picture as a file, JPEG at quality 95."""
    Image.fromarray(pixels).save(path, quality=95)
    return path


def first_frame(path: Path) -> Frame:
    """As the pipeline reads it."""
    with ImageReader(path) as reader:
        return next(iter(reader))


def encoded(target: Path, source: Path, frame: Frame, quality: int | None) -> None:
    """As the pipeline writes it."""
    with ImageReader(source) as reader:
        info = reader.info
    name = "JPEG" if target.suffix == ".jpg" else "PNG"
    with ImageWriter(target, format=name, info=info, quality=quality, overwrite=True) as writer:
        writer.write(frame)


@contextmanager
def measured(totals: dict[str, dict[str, float]], name: str, file: Path, pixels: int, what: str) -> Iterator[None]:
    """Adds what a file takes, per megapixel later: bytes, and seconds of the processor."""
    begin = time.process_time()
    yield
    one = totals.setdefault(name, {"megapixels": 0.0, "bytes": 0.0, f"{what}": 0.0})
    one["megapixels"] += pixels / 1e6
    one[what] += time.process_time() - begin
    one["bytes"] += file.stat().st_size


# Clips


def clips(folder: Path) -> dict[str, float]:
    """Seconds of all cores per frame of 1080p decoded and 2160p encoded as H.264 is without options; bytes of the SR;
    and how fast stretches are joined."""
    lr = make_clip(folder / "lr.mp4", pan(1080, 1920, FRAMES))
    decode = cpu_of("-i", str(lr), "-f", "null", "-")
    sr = folder / "sr.mkv"
    enlarge = ("-vf", "scale=iw*2:ih*2:flags=bilinear", *USUAL_SR, str(sr))
    encode = cpu_of("-i", str(lr), *enlarge) - decode
    begin = time.perf_counter()
    joined(sr, folder / "joined.mp4")
    seconds = time.perf_counter() - begin
    return {
        "decode_1080p_cpu_s_per_frame": round(decode / FRAMES, 4),
        "scale_and_encode_2160p_cpu_s_per_frame": round(encode / FRAMES, 4),
        "lr_bytes_per_frame": round(lr.stat().st_size / FRAMES),
        "sr_bytes_per_frame": round(sr.stat().st_size / FRAMES),
        "join_bytes_per_s": round(COPIES * sr.stat().st_size / seconds),
    }


def joined(clip: Path, output: Path) -> None:
    """A clip many times over, as packets through a pipe into another ffmpeg: what a join does with its stretches."""
    many = ("-stream_loop", str(COPIES - 1), "-i", str(clip), "-c", "copy")
    piped = ("-movflags", "frag_keyframe+empty_moov", "-f", "mp4", "pipe:1")
    with subprocess.Popen([*ffmpeg(), "-nostdin", *many, *piped], stdout=subprocess.PIPE) as reader:
        subprocess.run([*ffmpeg(), "-i", "pipe:0", "-c", "copy", str(output)], stdin=reader.stdout, check=True)


def cpu_of(*arguments: str) -> float:
    """Seconds of the processor that one ffmpeg takes."""
    before = cpu_seconds()
    subprocess.run([*ffmpeg(), "-nostdin", *arguments], check=True)
    return cpu_seconds() - before


# A cluster call


def ray_call() -> dict[str, Any]:
    """What the driver's process spends on a request and its events, all its threads together, and how fast it goes."""
    import ray

    ray.init(
        address="local", num_cpus=4, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False,
        logging_level=logging.ERROR, configure_logging=True,
    )  # fmt: skip
    request = {"job": "x" * 1500, "recipe": {"model": None, "options": {}}}
    try:
        cases = {
            f"{callers}_callers_{events}_events": called(callers, {**request, "events": events})
            for callers in CALLERS
            for events in EVENTS
        }
    finally:
        ray.shutdown()
    return {"order_bytes": len(pickle.dumps(request)), **cases}


def called(callers: int, request: dict[str, Any]) -> dict[str, Any]:
    """A thread and an actor for each caller, as `executors.ray` has them; each request is answered by a few events."""
    import ray

    class Answering:
        def do(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
            for _ in range(request["events"]):
                yield {"source": "picture.jpg", "output": "picture_4x.jpg", **request["recipe"]}

    actors: deque[Any] = deque(ray.remote(Answering).options(num_cpus=0).remote() for _ in range(callers))

    def call(actor: Any, times: int) -> None:
        for _ in range(times):
            for reference in actor.do.options(num_returns="streaming").remote(request):
                ray.get(reference)

    def all_call(times: int) -> None:
        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(lambda actor: call(actor, times // callers), actors))

    all_call(20 * callers)  # warms up
    cpu, begin = time.process_time(), time.perf_counter()
    all_call(CALLS)
    seconds = time.perf_counter() - begin
    result = {
        "driver_s_per_order": round((time.process_time() - cpu) / CALLS, 6),
        "orders_per_second": round(CALLS / seconds, 1),
    }
    for actor in actors:
        ray.kill(actor)
    return result


if __name__ == "__main__":
    main()
