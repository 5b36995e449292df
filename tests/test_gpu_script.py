"""benchmarks/gpu.py, which waits for a GPU: its parts run on the CPU with tiny sizes, so that it does not rot."""

import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu, gpu_parts
from benchmarks.gpu_setting import DRY, GPU


def test_every_part_has_a_bound_and_all_fit_into_ten_minutes() -> None:
    assert list(gpu.BOUNDS) == list(gpu_parts.PARTS)
    assert sum(gpu.BOUNDS.values()) <= 610


def test_the_real_sizes_are_those_that_were_asked_for() -> None:
    assert (GPU.device, GPU.half, GPU.side, GPU.matrix_side) == ("cuda", "fp16", 512, 8192)
    assert (GPU.height, GPU.width) == (1080, 1920)


def test_a_part_that_answers(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    script = f"import pathlib; pathlib.Path({str(found)!r}).write_text('{{\"share\": 0.5}}')"
    assert gpu.run([sys.executable, "-c", script], found, bound=60)["share"] == 0.5


def test_a_part_that_crashes_is_recorded_with_its_last_lines(tmp_path: Path) -> None:
    script = "import os, sys; sys.stderr.write('CUDA error: an illegal access\\n'); sys.stderr.flush(); os._exit(134)"
    answer = gpu.run([sys.executable, "-c", script], tmp_path / "found.json", bound=60)
    assert answer["failed"] == "ended with code 134"
    assert answer["log"] == ["CUDA error: an illegal access"]


def test_a_part_that_ends_without_an_answer_has_failed(tmp_path: Path) -> None:
    assert "failed" in gpu.run([sys.executable, "-c", "pass"], tmp_path / "found.json", bound=60)


def test_a_part_that_hangs_is_ended(tmp_path: Path) -> None:
    answer = gpu.run([sys.executable, "-c", "input() if 0 else __import__('time').sleep(3600)"], tmp_path / "f", 0.2)
    assert answer["failed"].startswith("not done after")


def test_a_part_that_fails_does_not_end_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole script, its parts replaced: all are in the JSON, and the exit code tells."""
    monkeypatch.setattr(gpu, "BOUNDS", {"first": 1, "second": 1})
    monkeypatch.setattr(gpu, "one_part", lambda name, *_: {"failed": "x"} if name == "first" else {"met": True})
    monkeypatch.setattr("benchmarks.report.REPOSITORY", tmp_path)
    monkeypatch.setattr(sys, "argv", ["gpu", "--dry-run"])
    (tmp_path / "benchmarks").mkdir()
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == 1
    report = json.loads((tmp_path / "benchmarks/gpu-dry-run.json").read_text())
    assert report["failed"] == ["first"]
    assert report["parts"] == {"first": {"failed": "x"}, "second": {"met": True}}


@pytest.mark.slow
def test_without_a_gpu_the_tests_are_skipped_and_counted() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    found = gpu_parts.tests(DRY)
    assert found["tests"] == found["skipped"] > 10
    assert found["met"]


@pytest.mark.slow
def test_nearness() -> None:
    nets = gpu_parts.nearness(DRY)["nets"]
    assert list(nets) == ["realesrgan", "realesr-general", "espcn"]
    assert nets["espcn"]["weights"] == "real"
    assert 30 < nets["espcn"]["bf16_to_fp32_db"] < 100
    assert nets["espcn"]["fp32_to_the_cpu_s_greatest_difference"] == 0  # it is the CPU here
    for net in nets.values():
        assert "left_out" in net or net["bf16_to_fp32_db"] > 30


@pytest.mark.slow
def test_share() -> None:
    found = gpu_parts.share(DRY)
    assert found["share"] == pytest.approx(found["net_tflops_per_s"] / found["matrix_product_tflops_per_s"], rel=0.01)


@pytest.mark.slow
def test_alone() -> None:
    found = gpu_parts.alone(DRY)
    for model in ("realesrgan", "espcn"):
        assert found[model]["plain"]["to_plain"] == 1
        assert found[model]["channels_last"]["greatest_difference"] < 0.1
        assert found[model]["channels_last"]["median_s"] > 0


@pytest.mark.slow
def test_clip() -> None:
    found = gpu_parts.clip(DRY)
    assert found["espcn"]["fps"] > 0
    assert set(found["stages"]) >= {"decode", "net", "encode"}


@pytest.mark.slow
def test_codecs() -> None:
    found = gpu_parts.codecs(DRY)
    assert found["encode_2x"]["libx264"]["ours"]["all_frames"] is True
    assert found["encode_2x"]["libx264"]["ffmpeg_alone"]["fps"] > 0
    assert found["decode"]["none"]["ours"]["all_frames"] is True


@pytest.mark.slow
def test_streams() -> None:
    assert gpu_parts.streams(DRY)["wrong_answers"] == 0


@pytest.mark.slow
def test_memory() -> None:
    found = gpu_parts.memory(DRY)
    assert found["met"]
    assert "out of memory on cpu" in found["smaller_windows"]["reported"][0]
    assert "\n" not in found["nothing_helps"]["message"]
