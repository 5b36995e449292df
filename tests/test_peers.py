"""benchmarks/peers.py: the worker's way of speaking, what is made of the figures, and the chart."""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.peers import Row, Worker, loaded, measure, nearness, net_facts
from benchmarks.peers_chart import draw
from benchmarks.peers_engines import ENGINES, Net
from benchmarks.peers_nets import WORK, Work, calibration, export, picture, prepared
from benchmarks.peers_settings import Candidate, candidates
from upscale_cli.models.archs.espcn import ESPCN

SMALL = Work("espcn-x2", "espcn", 2, 20, 28)


@pytest.fixture
def small(tmp_path: Path) -> tuple[Net, np.ndarray]:
    ready = prepared(SMALL, tmp_path)
    assert ready is not None
    return ready


@pytest.mark.slow
def test_ours_and_plain_torch_in_processes_of_their_own(small: tuple[Net, np.ndarray]) -> None:
    net, reference = small
    for engine, options, least_db in (
        ("torch", {}, 120),
        ("ours", {"engine": "torch"}, 55),
    ):  # ours gives levels of 8 bits
        versions: dict[str, Any] = {}
        with Worker(engine, sys.executable, 1) as worker:
            row = loaded(Candidate(engine, "fp32", settings={"options": options}), net, reference, worker, versions)
            assert not row.failed
            assert row.db > least_db
            assert versions[engine]["torch"]
            measure(row, worker)
        assert row.facts()["median_s"] > 0
        assert row.facts()["min_cpu_s"] > 0


@pytest.mark.slow
def test_a_worker_that_fails_says_why_and_goes_on(small: tuple[Net, np.ndarray]) -> None:
    net, reference = small
    with Worker("torch", sys.executable, 1) as worker:
        missing: Net = {**net, "checkpoint": "nowhere.safetensors"}
        row = loaded(Candidate("torch", "a"), missing, reference, worker, {})
        assert "nowhere" in row.failed
        assert not loaded(Candidate("torch", "b"), net, reference, worker, {}).failed


def test_a_worker_that_dies_is_reported(small: tuple[Net, np.ndarray]) -> None:
    net, reference = small
    with Worker("no such engine", sys.executable, 1) as worker:
        assert "process ended" in loaded(Candidate("x", "y"), net, reference, worker, {}).failed


def test_candidates_are_told_apart_and_their_engines_are_known() -> None:
    for work in WORK:
        found = candidates(work, wide=True, quick=False)
        assert len({(one.engine, one.setting) for one in found}) == len(found)
        assert {one.engine for one in found} <= ENGINES.keys()
        assert len(candidates(work, wide=False, quick=True)) < len(found)


def test_the_exported_net_is_the_net(tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    torch.manual_seed(0)
    module = ESPCN(2).eval()
    export(module, 1, tmp_path / "net.onnx")
    session = ort.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    lr = torch.rand(1, 1, 19, 31)
    np.testing.assert_allclose(session.run(None, {"lr": lr.numpy()})[0], module(lr).detach().numpy(), atol=1e-5)


@pytest.mark.slow
def test_pictures_are_levels_of_8_bits_of_the_size_that_was_asked_for() -> None:
    for luma, channels in ((True, 1), (False, 3)):
        lr = picture(700, 1500, luma=luma)
        assert lr.shape == (1, channels, 700, 1500)
        np.testing.assert_allclose(lr * 255, np.rint(lr * 255), atol=1e-4)
        crops = calibration(luma=luma)
        assert crops.shape[1] == channels
        assert crops.std() > 0.05


def test_nearness() -> None:
    white = np.ones((1, 1, 4, 4), np.float32)
    assert nearness(white, white) == (140.0, 0)
    assert nearness(white - 0.2, white) == (14.0, 51)
    assert nearness(np.full_like(white, np.nan), white)[0] == -99.0
    with pytest.raises(ValueError, match="expected"):
        nearness(white, white[..., :2])


def rows() -> list[Row]:
    def row(engine: str, setting: str, kind: str, db: float, seconds: float) -> Row:
        return Row(engine, setting, kind, db, 1, 1, [seconds] * 3, [seconds] * 3)

    return [
        row("ours", "fp32", "fp32", 58.9, 0.2),
        row("ours", "bf16", "half", 57.0, 0.1),
        row("openvino", "f32", "fp32", 140.0, 0.25),
        row("openvino", "bf16", "half", 45.0, 0.05),  # too far off to be compared with
        row("openvino", "int8", "int8", 55.0, 0.01),
        row("ncnn", "bf16", "half", 54.0, 0.08),
        Row("opencv", "dnn", "fp32", failed="it does not read this"),
    ]


def test_ours_is_held_against_the_fastest_peer_that_is_as_near() -> None:
    found = net_facts(SMALL, rows())["ours_to_fastest_of_onnxruntime_openvino_ncnn"]
    assert found["fp32"] == {"ours": "fp32", "peer": "openvino/f32", "ours_to_peer": 0.8, "met": True}
    assert found["above_50_db"] == {"ours": "bf16", "peer": "ncnn/bf16", "ours_to_peer": 1.25, "met": False}


def test_the_chart_is_svg_whose_bars_are_as_long_as_the_rates() -> None:
    result = {
        "threads": 2, "rounds": 3, "nets": {"espcn-x2 <&>": net_facts(SMALL, rows())}, "machine": {"cpu": "a <CPU>"},
        "clips": {"size": [540, 960], "candidates": {"ours, espcn": {"fps": 20.0}, "ffmpeg": {"failed": "no"}}},
    }  # fmt: skip
    root = ET.fromstring(draw(result))
    named = {"svg": "http://www.w3.org/2000/svg"}
    bars = [float(bar.get("width", 0)) for bar in root.findall("svg:rect[@rx='2']", named) if bar.get("height") == "16"]
    int8, ov_bf16, ncnn, ours_bf16, ours_fp32, ov_f32, clip = bars
    assert int8 == clip == max(bars)
    assert ov_bf16 == pytest.approx(int8 / 5, abs=0.1)
    assert ours_bf16 / ours_fp32 == pytest.approx(2, rel=0.01)
    assert ncnn > ours_bf16 > ours_fp32 > ov_f32
    texts = " ".join(text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "opencv" not in texts
    assert "45 dB" in texts
