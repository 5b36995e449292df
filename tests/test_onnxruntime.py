"""ONNX Runtime as an engine, and OpenVINO's other devices: the same pictures, or one clear line."""

import gc
import json
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
import pytest

from tests.command import Run
from tests.nets import CPU
from tests.test_engines import choice_of, decibels, net_of, nothing_said, photo
from upscale_cli import Upscaler
from upscale_cli.errors import DeviceError, OptionError
from upscale_cli.frames.image import Pixels
from upscale_cli.inference import engine_trial, engines, engines_here
from upscale_cli.inference.backends import onnxruntime as backend
from upscale_cli.inference.backends.base import Session
from upscale_cli.inference.backends.onnxruntime import OnnxRuntime, OnnxRuntimeSession
from upscale_cli.inference.engines import parsed
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.models.onnx_graph import INPUT, onnx_model
from upscale_cli.models.onnx_half import halve

pytest.importorskip("onnxruntime", reason="the extra [onnxruntime] is not installed")


@pytest.mark.parametrize("requests", [1, 2])
@pytest.mark.parametrize("kind", ["espcn", "srvgg", "rrdbnet"])
def test_it_makes_the_picture_that_torch_makes_tile_by_tile(
    kind: str, requests: int, noise: Callable[..., Pixels]
) -> None:
    lr, net = noise(101, 58, 3), net_of(kind)
    expected = TiledNet(net, CPU, "fp32", tile=24, say=nothing_said).upscale(lr, np.uint8)
    there = TiledNet(net, CPU, "fp32", tile=24, backend=OnnxRuntime(requests=requests), say=nothing_said)
    assert there.concurrency == requests
    made = there.upscale(lr, np.uint8)
    assert np.abs(made.astype(int) - expected.astype(int)).max() <= 1
    there.share(3)
    np.testing.assert_array_equal(there.upscale(lr, np.uint8), made)


@pytest.mark.slow
def test_memory_stays_bounded_over_many_shapes() -> None:
    session = OnnxRuntime().load(net_of("srvgg"), CPU, "fp32")
    rng = np.random.default_rng(0)
    process, before = psutil.Process(), 0
    for number in range(300):
        session.infer({INPUT: np.zeros((1, 3, *rng.integers(16, 160, 2)), np.float32)})
        if number == 30:  # the largest shapes have been there
            gc.collect()
            before = process.memory_info().rss
    assert process.memory_info().rss - before < 40 * 2**20


def test_a_net_in_half_precision_is_above_50_db() -> None:
    lr = (photo(48, 40).transpose(2, 0, 1)[None] / 255).astype(np.float32)
    for kind in ("srvgg", "rrdbnet"):
        net = net_of(kind)
        full, half = onnx_model(net), onnx_model(net)
        halve(half)
        onnx.checker.check_model(half, full_check=True)
        assert half.ByteSize() < 0.65 * full.ByteSize()
        made, expected = (
            OnnxRuntimeSession(model.SerializeToString(), "cpu", "fp32", 1, 1).infer({INPUT: lr})
            for model in (half, full)
        )
        assert 50 < decibels(made, expected) < 120


# The choice


def paced(session: Session, *_: object) -> float:
    """Seconds of a window, as if ONNX Runtime were the fastest."""
    return 1.0 if isinstance(session, OnnxRuntimeSession) else 2.0


def test_it_is_one_more_rival(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "RIVALS", ("onnxruntime:cpu",))
    monkeypatch.setattr(
        engine_trial, "paced", lambda session, *_: 1.0 if isinstance(session, OnnxRuntimeSession) else 2.0
    )
    net = net_of("espcn")
    choice = choice_of(net)
    assert choice.label == f"onnxruntime:cpu {backend.version()} fp32"
    assert parsed(choice.label) is not None
    assert choice.is_here
    monkeypatch.setattr(engines, "_fastest", lambda *_, **__: pytest.fail("it was measured already"))
    assert choice_of(net) == choice


def test_where_one_engine_fails_the_other_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino", reason="OpenVINO has no wheel for this machine")
    from upscale_cli.inference.backends.openvino import OpenVino

    def broken(*_: object) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(OpenVino, "load", broken)
    monkeypatch.setattr(
        engine_trial, "paced", lambda session, *_: 1.0 if isinstance(session, OnnxRuntimeSession) else 2.0
    )
    assert choice_of(net_of("espcn")).engine == "onnxruntime:cpu"


def test_a_provider_that_is_not_in_this_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "available", lambda: ["cpu"])
    with pytest.raises(OptionError, match="not in this build of ONNX Runtime, which has cpu") as refused:
        choice_of(net_of("espcn"), "onnxruntime:directml")
    assert "pip install onnxruntime-directml" in str(refused.value)


def test_a_provider_without_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the build, but nothing of it works: ONNX Runtime logs that, and computes everything on the CPU."""
    monkeypatch.setattr(backend, "available", lambda: ["cuda", "cpu"])
    with pytest.raises(OptionError, match="cannot run espcn"):
        choice_of(net_of("espcn"), "onnxruntime:cuda")


def test_half_precision_where_it_has_none() -> None:
    with pytest.raises(OptionError, match="does not compute in fp16 here, but in fp32"):
        Upscaler("espcn", device="cpu", engine="onnxruntime", precision="fp16").engines.choice(2, 8)


def test_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "is_installed", lambda engine: engine == "torch")
    with pytest.raises(OptionError, match="not installed here") as refused:
        choice_of(net_of("espcn"), "onnxruntime:cpu")
    assert 'pip install "upscale-cli[onnxruntime]"' in str(refused.value)


def test_tensorrt_keeps_its_engines_by_all_that_they_depend_on() -> None:
    """The options alone: there is no TensorRT here."""
    given: list[tuple[bytes, dict[str, tuple[int, ...]], Any]] = [
        (b"net", {INPUT: (1, 3, 64, 64)}, "fp16"), (b"net", {INPUT: (1, 3, 64, 96)}, "fp16"),
        (b"net", {INPUT: (1, 3, 64, 64)}, "fp32"), (b"other", {INPUT: (1, 3, 64, 64)}, "fp16"),
    ]  # fmt: skip
    folders = [backend._engine_folder_of(*one) for one in given]
    assert len(set(folders)) == len(given)
    assert backend._engine_folder_of(*given[0]) == folders[0]
    assert all(folder.is_dir() and folder.parent == backend.engine_folder() for folder in folders)
    assert backend._kept_engines(folders[0])["trt_engine_cache_path"] == str(folders[0])


def test_tensorrt_reports_what_it_builds_and_only_then(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in takes until it was reported twice that it is still building; then the engine is kept."""
    import onnxruntime

    said: list[str] = []
    twice = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        if sum(" s so far." in one for one in said) >= 2:
            twice.set()

    class Building:
        def __init__(self, _model: bytes, _options: Any, providers: list[Any]) -> None:
            (name, settings), _ = providers
            assert name == "TensorrtExecutionProvider"
            folder = Path(settings["trt_engine_cache_path"])
            if not any(folder.iterdir()):
                assert twice.wait(60), said
                (folder / "net.engine").write_bytes(b"built")

        def get_providers(self) -> list[str]:
            return ["TensorrtExecutionProvider"]

        def run(self, _outputs: list[str], inputs: dict[str, Any]) -> list[Any]:
            return [inputs[INPUT]]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Building)
    monkeypatch.setattr(backend, "engine_folder", lambda: tmp_path)
    monkeypatch.setattr(backend, "TOLD_EVERY", 0.001)
    lr = np.zeros((1, 3, 64, 96), np.float32)
    backend.OnnxRuntimeSession(b"net", "tensorrt", "fp32", 1, 1, say).infer({INPUT: lr})
    assert said[0] == (
        "TensorRT builds an engine for windows of 96 x 64 pixels, which takes it minutes; it is kept for the next time."
    )
    assert re.fullmatch(r"TensorRT builds an engine for windows of 96 x 64 pixels: \d+ s so far\.", said[1])
    reported = len(said)
    backend.OnnxRuntimeSession(b"net", "tensorrt", "fp32", 1, 1, say).infer({INPUT: lr})
    assert len(said) == reported, "it is there: nothing is built"
    threads = [thread.name for thread in threading.enumerate()]
    assert "building" not in threads


@pytest.mark.slow
def test_a_picture_by_the_command_line(tmp_path: Path, run: Run) -> None:
    from PIL import Image

    Image.fromarray(photo(40, 60)).save(tmp_path / "a.png")
    outcome = run(
        tmp_path / "a.png", "-m", "espcn", "-s", 2, "--engine", "onnxruntime", "--json", "-o", tmp_path / "b.png"
    )
    assert outcome.code == 0, outcome.err
    started = next(json.loads(line) for line in outcome.out.splitlines() if '"started"' in line)
    assert (started["engine"], started["precision"]) == ("onnxruntime:cpu", "fp32")
    plain = Upscaler("espcn", device="cpu", engine="torch")(photo(40, 60), target=Target(scale=2))
    with Image.open(tmp_path / "b.png") as made:
        assert np.abs(np.asarray(made).astype(int) - plain.astype(int)).max() <= 1


# Devices by OpenVINO


@pytest.mark.parametrize("device", ["intel-gpu", "npu"])
def test_a_device_that_openvino_does_not_see(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = pytest.importorskip("upscale_cli.inference.backends.openvino")
    pytest.importorskip("openvino", reason="OpenVINO has no wheel for this machine")
    monkeypatch.setattr(openvino, "devices", lambda: ["CPU"])
    upscaler = Upscaler("espcn", device=device)
    assert (upscaler.device_names, upscaler.device) == (device, CPU)
    with pytest.raises(DeviceError, match=f"device {device}: OpenVINO sees CPU on this machine"):
        upscaler.engines.choice(2, 8)


def test_what_openvino_runs_elsewhere_is_half_precision_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its CPU stands in for the GPU that is not here."""
    openvino = pytest.importorskip("upscale_cli.inference.backends.openvino")
    pytest.importorskip("openvino", reason="OpenVINO has no wheel for this machine")
    asked: list[str] = []

    def stand_in(device: str, requests: int) -> Any:
        asked.append(device)
        return OnnxRuntime(requests=requests)

    monkeypatch.setattr(openvino, "devices", lambda: ["CPU", "GPU.0"])
    monkeypatch.setattr(openvino, "precisions", lambda _: frozenset({"fp32", "fp16"}))
    monkeypatch.setattr(openvino, "OpenVino", stand_in)
    monkeypatch.setattr(backend, "_halved", lambda model: model)
    monkeypatch.setattr(engine_trial, "paced", lambda *_: 1.0)  # of two that are as fast, the first
    upscaler = Upscaler("espcn", device="intel-gpu")
    assert upscaler.engines.labels([2]) == {"2": f"openvino:gpu {openvino.version()} fp16"}
    assert set(asked) == {"GPU"}
    assert upscaler.engines.choice(2, 16).precision == "fp32"


def test_a_device_and_an_engine_that_do_not_go_together() -> None:
    with pytest.raises(OptionError, match="does not run on npu"):
        Upscaler("espcn", device="npu", engine="torch")
    with pytest.raises(OptionError, match="intel-gpu or npu"):
        Upscaler("espcn", device="xpu")


@pytest.mark.parametrize(("said", "line"), [
    ("Exception from src/core.cpp:105:\nCheck 'false' failed at src/report.cpp:151:\nFrontEnd API failed with "
     "OpConversionFailure:\nModel wasn't fully converted.\nSummary:\n-- No conversion rule found for operations: X\n",
     "No conversion rule found for operations: X"),
    ("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Invalid model. Node input 'w' is missing.",
     "Invalid model. Node input 'w' is missing"),
    ("", "RuntimeError"),
])  # fmt: skip
def test_an_engines_error_is_one_line(said: str, line: str) -> None:
    assert engines_here.told(RuntimeError(said)) == line


def test_one_name_for_each_engine() -> None:
    assert engines_here.canonical("onnxruntime") == "onnxruntime:cpu"
    assert parsed("onnxruntime 1.32.0 fp32") is None
    assert parsed("openvino:npu 2026.4.1 fp16") is not None


# The doctor


@pytest.mark.slow
def test_the_doctor_shows_engines_and_choices(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "RIVALS", ("onnxruntime:cpu",))
    monkeypatch.setattr(
        engine_trial, "paced", lambda session, *_: 1.0 if isinstance(session, OnnxRuntimeSession) else 2.0
    )
    choice = choice_of(net_of("espcn"))
    choice_of(net_of("espcn"), "onnxruntime:cpu")  # asked for, and so no choice
    (kept,) = (path for path in engines.folder().iterdir() if '"auto"' in path.read_text())
    former = kept.with_name("former.json")
    former.write_text(kept.read_text().replace(choice.version, "1.0.0"))  # of the version before
    os.utime(former, (1, 1))
    (engines.folder() / "damaged.json").write_text("{")
    found = [json.loads(line) for line in run("doctor", "--json").out.splitlines()]
    by_name = {finding["what"]: finding["found"] for finding in found}
    assert [finding["what"] for finding in found].count("chosen so far") == 1
    assert by_name["onnxruntime"].startswith(f"{backend.version()}: ")
    assert "cpu" in by_name["onnxruntime"]
    assert by_name["chosen so far"].split(", ")[0] == f"espcn x2: {choice.label}"


@pytest.mark.slow
def test_the_doctor_without_engines(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines_here, "is_installed", lambda engine: engine == "torch")
    found = [json.loads(line) for line in run("doctor", "--json").out.splitlines()]
    assert {finding["state"] for finding in found if finding["what"] in ("openvino", "onnxruntime")} == {"note"}


@pytest.mark.slow
def test_the_doctor_with_an_engine_that_does_not_start(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> list[str]:
        raise ImportError("libsomething.so: cannot open shared object file\nmore")

    monkeypatch.setattr(engines_here, "devices", broken)
    assert "does not start (libsomething.so: cannot open shared object file)" in " ".join(run("doctor").out.split())
