"""Counts and times what happens to a clip; reports progress, and the sum at the end."""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from upscale_cli.events import ClipFinished, ClipProgress, Listener, Started
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.frame_queue import Tally
from upscale_cli.jobs.realtime import advice
from upscale_cli.jobs.video_facts import VideoFacts
from upscale_cli.jobs.video_plan import ClipPlan
from upscale_cli.media.video.picture_reader import PictureReader
from upscale_cli.media.video.reader import VideoReader

PROGRESS_SECONDS: Final = 0.2

NEARLY_REAL_TIME: Final = 0.97
"""What a run that is paced by the clock may come to, for its last frames have to be encoded too."""


class VideoProgress:
    """Counts and times what happens; reports progress, and the sum at the end.

    Args:
        already: frames that a former run has done.
    """

    def __init__(self, job: VideoFacts, plan: ClipPlan, listener: Listener, *, already: int = 0) -> None:
        self.tally = Tally()
        self._already = already
        self._job, self._plan, self._listener = job, plan, listener
        self._begin = time.perf_counter()
        self._reported = 0.0
        self._ended: float | None = None
        self._first_done: float | None = None
        self._repeated = 0
        self._damage = ""
        self._stages: dict[str, float] = {}

    def report(self, readers: Sequence[VideoReader | PictureReader], encode_seconds: float) -> None:
        """Progress, a few times a second."""
        now = time.perf_counter()
        self._first_done = self._first_done or now
        if now - self._reported < PROGRESS_SECONDS:
            return
        self._reported = now
        self._stages = self._busy(readers, encode_seconds)
        self._report(now - self._begin, self.tally.frames)

    def _report(self, elapsed: float, done: int) -> None:
        total = self._plan.frames
        fps = done / elapsed
        rest = total - self._already - done if total else -1
        left = rest / fps if rest >= 0 and fps else None
        self._listener(
            ClipProgress(
                self._job.clip.name, self._already + done, total, fps, self._realtime(elapsed), left, self.slowest
            )
        )

    def take(self, tally: Tally, stages: Mapping[str, float]) -> None:
        """Counts frames that a worker has written, and the busy seconds that took."""
        own, stream = self.tally, self._plan.streams[0].stream.index
        own.frames += tally.frames
        own.net += tally.net
        own.fallback += tally.fallback
        own.same += tally.same
        own.reused += tally.reused
        own.per_stream[stream] = own.per_stream.get(stream, 0) + tally.frames
        for stage, seconds in stages.items():
            self._stages[stage] = self._stages.get(stage, 0.0) + seconds

    def report_of_others(self, in_progress: int) -> None:
        """Progress, a few times a second, where workers make the segments: frames that are not taken yet count too."""
        now = time.perf_counter()
        if now - self._reported >= PROGRESS_SECONDS:
            self._reported = now
            self._report(now - self._begin, self.tally.frames + in_progress)

    def end_of_others(self) -> None:
        """After the last frame, where workers have made the segments."""
        self._ended = time.perf_counter()

    def end(
        self, readers: Sequence[VideoReader | PictureReader], encode_seconds: float, *, is_whole: bool = True
    ) -> None:
        """After the last frame: what the readers found damaged counts, unless the rest of the source was not wanted."""
        self._ended = time.perf_counter()
        self._stages = self._busy(readers, encode_seconds)
        self._repeated = sum(reader.repeated for reader in readers)
        if is_whole:
            self._damage = "; ".join(filter(None, (reader.damage() for reader in readers)))

    def finished(self, upscaler: Upscaler, *, repeats: int = 0) -> ClipFinished:
        """The summary; `repeats` is what former runs and this one have recorded together."""
        elapsed = (self._ended or time.perf_counter()) - self._begin
        tally, first = self.tally, self._plan.streams[0].upscaler
        return ClipFinished(
            source=self._job.clip.name, output=self._job.output_name, width=first.out_width, height=first.out_height,
            seconds=elapsed, frames=self._already + tally.frames, fps=tally.frames / elapsed,
            realtime=self._realtime(elapsed), net=tally.net, fallback=tally.fallback, same=tally.same,
            repeated=max(repeats, self._repeated), slowest=self.slowest,
            stages={stage: round(seconds, 3) for stage, seconds in self._stages.items()},
            model=upscaler.name, reused=round(tally.saved, 4), damage=self._damage, advice=self._advice(upscaler),
        )  # fmt: skip

    @property
    def slowest(self) -> str:
        stages = dict(self._stages)
        if self._job.is_paced or self._job.tee is not None:
            stages.pop("decode", None)  # waiting for the decoder was waiting for the clock, or for the sender
        return max(stages, key=lambda stage: stages[stage], default="")

    def _advice(self, upscaler: Upscaler) -> str:
        """What would help, if it could not hold real time with the net alone; the start is not counted."""
        if not self._job.options.hurries or self._first_done is None or self._ended is None:
            return ""
        is_live = self._job.tee is not None and self._job.tee.is_live
        if not self.tally.fallback and (is_live or self._realtime(self._ended - self._first_done) >= NEARLY_REAL_TIME):
            return ""
        planned = self._plan.streams[0]
        limit = "net" if self.tally.fallback and self.slowest != "encode" else self.slowest
        return advice(
            limit, may_fall_back=self._job.is_clocked, device=upscaler.device.type, model=upscaler.name,
            encoder=planned.track.encoder.name,
        )  # fmt: skip

    def _realtime(self, elapsed: float) -> float:
        """Seconds of clip per second of work, by the frames written and their rate."""
        shown = [
            self.tally.per_stream.get(planned.stream.index, 0) / planned.track.rate for planned in self._plan.streams
        ]
        return float(max(shown)) / elapsed

    def _busy(self, readers: Sequence[VideoReader | PictureReader], encode_seconds: float) -> dict[str, float]:
        stages = {"decode": sum(reader.seconds for reader in readers)}
        for planned in self._plan.streams:
            for stage, seconds in planned.seconds.items():
                stages[stage] = stages.get(stage, 0.0) + seconds
        return {**stages, "encode": encode_seconds}


def started(job: VideoFacts, upscaler: Upscaler, plan: ClipPlan) -> Started:
    """The first line of a run."""
    planned = plan.streams[0]
    return Started(
        source=job.clip.name, output=job.output_name, model=upscaler.name, why=job.why or upscaler.why,
        passes=upscaler.pass_names(planned.upscaler.plan), device=upscaler.device_names,
        precision=planned.upscaler.precision, engine=planned.upscaler.engine,
        width=planned.stream.width, height=planned.stream.height,
        sr_width=planned.upscaler.out_width, sr_height=planned.upscaler.out_height, frames=plan.frames or 0,
        encoder=planned.track.encoder.name,
    )  # fmt: skip
