"""The faithful training on a few rendered pictures."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.test_training import rendered
from training.photo_faithful import Recipe, held_out, main
from training.photo_lite import SCALE, distance
from upscale_cli import Upscaler
from upscale_cli.models.archs.srvgg import SRVGGNetCompact


def test_the_rate_rises_stays_and_falls() -> None:
    recipe = Recipe(steps=100, warm_up=10, decay=0.4)
    rates = [recipe.rate_at(step) for step in range(1, 101)]
    assert rates[0] == pytest.approx(0.1)
    assert set(rates[9:60]) == {1.0}
    assert rates[79] == pytest.approx(0.5)
    assert rates == [*rates[:60], *sorted(rates[60:], reverse=True)]
    assert 0 < rates[-1] < 0.01


def test_the_loss_counts_pixels_steps_and_roughness() -> None:
    hr = torch.zeros(1, 3, 16, 17)
    hr[..., ::2] = 0.1
    assert distance(hr + 0.1, hr, edges=1.0, texture=1.0).item() == pytest.approx(0.1, abs=1e-6)
    smooth = torch.full_like(hr, 0.05)
    assert distance(smooth, hr, edges=0.0, texture=0.0).item() == pytest.approx(0.05, abs=1e-6)
    assert distance(smooth, hr, edges=0.5, texture=0.0).item() == pytest.approx(0.05 + 0.05, abs=1e-6)
    assert distance(smooth, hr, edges=0.0, texture=0.2).item() == pytest.approx(0.05 + 0.02, abs=1e-6)


def test_held_out_pictures_are_measured_as_they_are_and_compressed(tmp_path: Path) -> None:
    rendered(0, 64).save(tmp_path / "a.png")
    held = list(held_out(tmp_path, 1))
    assert [one.quality for one in held] == [None, 60, 30]
    assert {one.lr.shape for one in held} == {(16, 16, 3)}
    near = [np.abs(one.lr.astype(int) - held[0].lr).mean() for one in held]
    assert 0 == near[0] < near[1] < near[2]


@pytest.mark.slow
def test_the_command_makes_a_checkpoint_that_loads_and_the_same_one_again(tmp_path: Path) -> None:
    for name, count in (("train/a", 3), ("eval/Kodak24", 1)):
        (tmp_path / name).mkdir(parents=True)
        for number in range(count):
            rendered(number, 200).save(tmp_path / name / f"{number}.png")
    torch.manual_seed(0)
    save_file(SRVGGNetCompact(3, 8, 2, SCALE).state_dict(), tmp_path / "start.safetensors")
    command = [
        f"--data={tmp_path / 'train'}", *(f"--{name}={tmp_path / name}" for name in ("eval", "cache", "out", "logs")),
        f"--start={tmp_path / 'start.safetensors'}", "--num-feat=8", "--num-conv=2", "--pairs=8", "--side=32",
        "--crop=24", "--patches=4", "--steps=20", "--warm-up=5", "--workers=1", "--licence=MIT",
    ]  # fmt: skip
    threads = torch.get_num_threads()
    file = tmp_path / "out/photo-lite-x4.safetensors"
    try:
        main(command)
        written = file.read_bytes()
        main(command)
    finally:
        torch.set_num_threads(threads)
    assert file.read_bytes() == written
    log = json.loads((tmp_path / "logs/photo-lite-x4.json").read_text(encoding="utf-8"))
    assert log["sha256"] == hashlib.sha256(written).hexdigest()
    assert log["Kodak24"]["trained"]["clean"]["psnr_y"] != log["Kodak24"]["begun_from"]["clean"]["psnr_y"]
    assert Upscaler(file, device="cpu")(Image.new("RGB", (20, 10), "teal"), scale=4).size == (80, 40)
