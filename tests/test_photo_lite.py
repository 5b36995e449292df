"""The distillation on a few rendered pictures, and what the bundled photo net can do."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from tests.test_training import rendered
from training.degradation import CLEAN, Pixels8, degrade, through_jpeg, to_pixels
from training.files import picture_files
from training.photo_lite import (
    LICENCE,
    SCALE,
    Pairs,
    Recipe,
    by_bicubic,
    cut_out,
    distance,
    in_true_colours,
    main,
    taught,
)
from upscale_cli import Upscaler
from upscale_cli.models.archs.srvgg import SRVGGNetCompact
from upscale_cli.models.registry import rows_of

REPOSITORY = Path(__file__).parent.parent
FILE = REPOSITORY / "weights/photo-lite-crisp-x4.safetensors"
LOG: dict[str, Any] = json.loads((REPOSITORY / "training/logs/photo-lite-crisp-x4.json").read_text(encoding="utf-8"))


def pictures(count: int = 4, side: int = 160) -> list[Pixels8]:
    return [np.asarray(rendered(seed, side)) for seed in range(count)]


# The script


def test_batches_turn_lr_and_sr_alike() -> None:
    lr = np.stack([degrade(hr, CLEAN, np.random.default_rng(0), SCALE) for hr in pictures()])
    pairs = Pairs(lr, lr.repeat(SCALE, axis=1).repeat(SCALE, axis=2))
    batches = pairs.batches(2, 24, np.random.default_rng(0))
    ways = set()
    for part, sr in (next(batches) for _ in range(24)):
        assert part.shape == (2, 3, 24, 24)
        assert sr.shape == (2, 3, 96, 96)
        torch.testing.assert_close(torch.nn.functional.avg_pool2d(sr, SCALE), part, rtol=0, atol=1e-6)
        ways.add(part.sum().item())
    assert len(ways) == 24  # another place or way each time


@pytest.mark.slow
def test_squares_are_cut_at_full_and_at_lower_size() -> None:
    random = np.random.default_rng(0)
    (picture,) = pictures(1)
    squares = [cut_out([picture], 64, random) for _ in range(30)]
    assert {square.shape for square in squares} == {(64, 64, 3)}
    windows = np.lib.stride_tricks.sliding_window_view(picture, (64, 64, 3))[..., 0, :, :, :]
    as_they_are = sum(bool((windows == square).all(axis=(2, 3, 4)).any()) for square in squares)
    assert 5 < as_they_are < 25  # the others are shrunk


def test_the_loss_counts_pixels_and_steps_between_them() -> None:
    target = torch.zeros(1, 3, 16, 16)
    brighter = distance(target + 0.1, target, edges=1.0, texture=1.0)
    assert brighter.item() == pytest.approx(0.1)  # there is no edge in it
    stripes = target.clone()
    stripes[..., ::2] = 0.1
    assert distance(stripes, target, edges=0.0, texture=0.0).item() == pytest.approx(0.05)
    assert distance(stripes, target, edges=1.0, texture=0.0).item() == pytest.approx(0.15)


def test_texture_counts_wherever_its_lines_lie() -> None:
    target = torch.zeros(1, 3, 32, 33)
    target[..., ::2] = 0.1
    moved = 0.1 - target  # every line one pixel further
    assert distance(moved, target, edges=0.0, texture=1.0).item() == pytest.approx(0.1, abs=1e-6)
    none = torch.full_like(target, 0.05)
    assert distance(none, target, edges=0.0, texture=1.0).item() == pytest.approx(0.05 + 0.1, abs=1e-6)


def test_colours_are_brought_back_and_detail_stays() -> None:
    lr = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    sr = lr.repeat_interleave(SCALE, dim=2).repeat_interleave(SCALE, dim=3)
    torch.testing.assert_close(in_true_colours(sr + 0.07, lr), sr, rtol=0, atol=1e-6)
    detail = sr.clone()
    detail[..., ::2] += 0.05
    detail[..., 1::2] -= 0.05  # no mean of its own
    torch.testing.assert_close(in_true_colours(detail, lr), detail, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_the_command_makes_pairs_once_and_a_checkpoint_that_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, count in (("train/a", 3), ("eval/Set14", 3), ("eval/Kodak24", 0)):
        (tmp_path / name).mkdir(parents=True)
        for number in range(count):
            rendered(number, 160).save(tmp_path / name / f"{number}.png")
    torch.manual_seed(0)
    teacher = SRVGGNetCompact(3, 16, 2, SCALE)
    save_file(teacher.state_dict(), tmp_path / "teacher.safetensors")
    folders = [f"--{name}={tmp_path / name}" for name in ("data", "eval", "cache", "out", "logs")]
    folders[0] = f"--data={tmp_path / 'train'}"
    sizes = ["--num-feat=8", "--num-conv=2", "--pairs=12", "--side=32", "--crop=24", "--patches=4", "--steps=30"]
    command = [*folders, *sizes, f"--teacher={tmp_path / 'teacher.safetensors'}", "--warm-up=5", "--workers=1"]
    threads = torch.get_num_threads()
    try:
        main(command)
        first = np.load(tmp_path / "cache/sr.npy")
        written = (tmp_path / "out/photo-lite-crisp-x4.safetensors").read_bytes()
        main([*command, f"--checkpoint={tmp_path / 'unfinished.safetensors'}"])
    finally:
        torch.set_num_threads(threads)
    assert "pairs 0 of 12" in capsys.readouterr().out
    assert (tmp_path / "out/photo-lite-crisp-x4.safetensors").read_bytes() == written  # the same seed, the same file
    np.testing.assert_array_equal(np.load(tmp_path / "cache/sr.npy"), first)
    np.testing.assert_allclose(first, taught(teacher, np.load(tmp_path / "cache/lr.npy")), atol=3)  # bf16
    log = json.loads((tmp_path / "logs/photo-lite-crisp-x4.json").read_text())
    assert log["sha256"] == hashlib.sha256(written).hexdigest()
    assert log["held_out"]["pictures"] == 3
    assert (tmp_path / "unfinished.safetensors").is_file()
    sr = Upscaler(tmp_path / "out/photo-lite-crisp-x4.safetensors", device="cpu")(Image.new("RGB", (20, 10), "teal"))
    assert sr.size == (80, 40)


# The bundled net


def test_the_file_names_its_teacher_and_licence() -> None:
    with safe_open(FILE, framework="pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    assert metadata["licence"] == LICENCE == rows_of("photo-lite-crisp")[0].licence
    assert "realesr-general-x4v3" in metadata["teacher"]
    assert "BSD-3-Clause" in metadata["licence"]
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert FILE.stat().st_size <= 2_000_000


def test_registry_log_and_file_agree() -> None:
    (spec,) = rows_of("photo-lite-crisp")
    content = FILE.read_bytes()
    assert spec.bundled
    assert (spec.sha256, spec.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert (LOG["file"], LOG["sha256"], LOG["bytes"]) == (spec.file, spec.sha256, spec.size)
    assert LOG["curve"][-1]["step"] == LOG["recipe"]["steps"]
    recipe = Recipe(**LOG["recipe"])
    feat = recipe.num_feat
    assert spec.macs == 9 * (3 * feat + feat**2 * recipe.num_conv + feat * 3 * SCALE**2)


def test_it_takes_less_than_a_third_of_the_teachers_time() -> None:
    """As measured when it was made; here nothing is timed."""
    seconds = LOG["seconds_for_256x256_fp32"]
    assert seconds["student"] * 3 <= seconds["teacher"]


def test_it_cleans_what_jpeg_and_noise_have_done_and_draws_edges() -> None:
    """PSNR would not tell: who draws an edge where the LR leaves a guess loses against who leaves it blurred."""
    random = np.random.default_rng(0)
    lr = np.full((64, 64, 3), 150.0)
    lr[:, 32:] = 90
    lr[:, 31], lr[:, 32] = 132, 108  # a little blurred
    lr += random.normal(0, 5, lr.shape)
    picture = torch.from_numpy(lr.clip(0, 255)).permute(2, 0, 1)[None].float() / 255
    damaged = to_pixels(through_jpeg(picture, 60))
    ours, bicubic = Upscaler("photo-lite-crisp", device="cpu", precision="fp32")(damaged, scale=4), by_bicubic(damaged)
    flat = (slice(32, -32), slice(32, 96))
    assert ours[flat].std(axis=(0, 1)).max() < 0.5 * bicubic[flat].std(axis=(0, 1)).min()
    steepest = [np.abs(np.diff(sr[32:-32].mean(axis=(0, 2)))).max() for sr in (ours, bicubic)]
    assert steepest[0] > 1.3 * steepest[1]


@pytest.mark.parametrize("model", ["photo-lite", "photo-lite-crisp"])
@pytest.mark.parametrize("colour", ["black", "white", "teal", "orange", "gray"])
def test_flat_colours_stay(colour: str, model: str) -> None:
    picture = Image.new("RGB", (48, 32), colour)
    sr = np.asarray(Upscaler(model, device="cpu")(picture, scale=4)).astype(int)
    shift = np.abs(sr[32:-32, 32:-32] - np.asarray(picture)[0, 0]).max()
    assert shift <= 6


def test_pictures_are_found_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b/1.png", "a/2.jpg", "a/terms.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in picture_files(tmp_path)] == ["2.jpg", "1.png"]
