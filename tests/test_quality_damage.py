"""The yardstick of photo nets: what it measures, what it demands, and what it writes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from benchmarks import quality_damage, report
from benchmarks.quality_damage import METRICS, YARDSTICKS, Task, means, table, verdicts
from upscale_cli.evaluation.reference import Reference


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "a.png"
    Image.fromarray(data.astronaut()[:100, 150:260]).save(path)
    return path


@pytest.mark.slow
def test_every_damage_is_measured_for_every_model(photo: Path) -> None:
    records = Task("photos", photo, ("bicubic", "espcn-robust"), quick=False).figures()
    assert [(record["damage"], record["model"]) for record in records] == [
        (damage, model) for damage in quality_damage.DAMAGES for model in ("bicubic", "espcn-robust")
    ]
    clean, strong = records[0], records[4]
    assert clean["psnr_y"] > strong["psnr_y"]
    assert clean["vmaf_neg"] > strong["vmaf_neg"]
    assert clean["ms_ssim_y"] is None  # below 176 pixels
    assert all(record["colour"] < 0.5 for record in records)
    summary = means(records)
    assert len(summary) == len(records)
    text = table(summary[:2])
    assert text.splitlines()[0] == "| set | model | PSNR | SSIM | MS-SSIM | VMAF-NEG | XPSNR | NIQE | colour |"
    assert text.splitlines()[2].startswith(f"| photos (1) | bicubic | {clean['psnr_y']:.2f} |")


def test_colour_is_what_the_model_adds(photo: Path) -> None:
    hr = np.asarray(Image.open(photo))
    tinted = np.clip(hr + np.array([0, 3, -1]), 0, 255).astype(np.uint8)
    assert quality_damage.measured(tinted, Reference(hr, hr))["colour"] == pytest.approx(3, abs=0.1)


def record(model: str, **changes: Any) -> dict[str, Any]:
    plain = dict.fromkeys(METRICS, 10.0) | {"colour": 0.1, "most_colour": 0.2}
    return {"set": "photos", "model": model, "pictures": 1, **plain, **changes}


def test_a_net_has_to_be_faithful_and_better_than_what_there_is() -> None:
    def judged(**changes: Any) -> dict[str, bool]:
        found = [
            {"damage": damage, **row}
            for damage in quality_damage.FAITHFUL
            for row in (*map(record, YARDSTICKS), record("mine", **changes))
        ]
        return {row["rule"]: row["met"] for row in verdicts(found, "mine") if row["damage"] == "JPEG 30"}

    better = {"vmaf_neg": 11.0, "xpsnr": 10.5, "ms_ssim_y": 10.1}
    assert all(judged(**better).values())
    assert [rule for rule, met in judged(**better, psnr_y=9.9).items() if not met] == ["psnr_y not below bicubic"]
    assert [rule for rule, met in judged().items() if not met] == [
        f"{metric} above photo-lite and bicubic" for metric in ("vmaf_neg", "xpsnr", "ms_ssim_y")
    ]
    assert [rule for rule, met in judged(**better, niqe=10.1, colour=0.6).items() if not met] == [
        "niqe not above espcn-robust", "colour within 0.5 of LR's",
    ]  # fmt: skip


def test_the_page_holds_what_the_json_says() -> None:
    """And its pictures are small enough to be committed."""
    page = quality_damage.PAGE.read_text(encoding="utf-8")
    figures = report.REPOSITORY / "benchmarks/quality_damage.json"
    result = json.loads(figures.read_text(encoding="utf-8"))
    assert report.with_tables(page, quality_damage.tables(result), quality_damage.START, quality_damage.STOP) == page
    strips = [quality_damage.strip_path(damage) for damage in quality_damage.DAMAGES]
    assert sum(strip.stat().st_size for strip in strips) < 300_000
