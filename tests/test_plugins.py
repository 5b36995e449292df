"""A net from outside: an architecture that an installed package brings, with an input and a scale that ours lack."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests import readme, toy
from tests.clips import Clips
from tests.command import Run
from upscale_cli import Upscaler, upscale_file, upscale_video
from upscale_cli.errors import OptionError
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.video.encoding import EncodeOptions
from upscale_cli.models import plugins
from upscale_cli.models.archs import ARCHS
from upscale_cli.models.loading import load_net

LEVEL = {"noise_level": 0.4}


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The toy's weights, where its package is installed."""
    monkeypatch.syspath_prepend(str(toy.install(tmp_path / "site")))
    forget()
    yield toy.write_checkpoint(tmp_path / "toy.safetensors")
    forget()


def forget() -> None:
    """What is installed is looked up once in a process."""
    plugins._points.cache_clear()
    plugins._loaded.clear()
    sys.modules.pop("toy_upscaler", None)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "photo.png"
    Image.fromarray(rng.integers(0, 256, (46, 61, 3), dtype=np.uint8)).save(path)
    return path


def test_it_is_recognised_and_described(checkpoint: Path) -> None:
    net = load_net(checkpoint).descriptor
    assert (net.arch, net.scales, net.only_scale) == ("toynet", (Fraction(3, 2),), Fraction(3, 2))
    assert [spec.name for spec in net.inputs] == ["noise_level"]


def test_it_is_listed(checkpoint: Path, run: Run) -> None:
    listed = {row["name"]: row for row in map(json.loads, run("models", "archs", "--json").out.splitlines())}
    assert listed["toynet"]["from"] == "toy-upscaler 1.0"
    assert listed["espcn"]["from"] == ""
    shown = run("models", "archs").out
    assert "toynet" in shown
    assert "toy-upscaler 1.0" in shown
    about = run("models", "info", checkpoint, "--json").out
    assert json.loads(about)["inputs"] == ["noise_level: how much to smooth, 0 to 1"]
    assert json.loads(about)["scale"] == 1.5


@pytest.mark.parametrize("size", [(46, 61), (17, 65), (1, 1), (3, 2)])
@pytest.mark.parametrize(("tile", "overlap"), [(16, None), (31, 3)])
def test_tiles_equal_the_whole(checkpoint: Path, size: tuple[int, int], tile: int, overlap: int | None) -> None:
    lr = np.random.default_rng(1).random((*size, 3), dtype=np.float32)
    whole = Upscaler(checkpoint, device="cpu", conditions=LEVEL)(lr, scale=1.5)
    tiled = Upscaler(checkpoint, device="cpu", conditions=LEVEL, tile=tile, overlap=overlap)(lr, scale=1.5)
    assert whole.shape == (round(size[0] * 1.5), round(size[1] * 1.5), 3)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)  # where a bilinear sample lies is rounded, far from 0


def test_what_is_given_beside_the_picture_arrives(checkpoint: Path) -> None:
    lr = np.random.default_rng(1).random((20, 30, 3), dtype=np.float32)
    sharp, blurred = (Upscaler(checkpoint, device="cpu", conditions={"noise_level": level})(lr) for level in (0, 1))
    between = Upscaler(checkpoint, device="cpu", conditions={"noise_level": "0.5"})(lr)
    np.testing.assert_allclose(between, (sharp + blurred) / 2, atol=1e-6)
    assert np.std(blurred) < np.std(sharp) / 2


def test_a_larger_scale_is_reached_by_passes(checkpoint: Path) -> None:
    upscaler = Upscaler(checkpoint, device="cpu", conditions=LEVEL)
    lr = np.random.default_rng(1).random((20, 30, 3), dtype=np.float32)
    assert upscaler(lr, scale=3).shape == (60, 90, 3)
    assert upscaler.default_scale == 1.5


@pytest.mark.parametrize("tile", [0, 16])
def test_a_photo(checkpoint: Path, photo: Path, tmp_path: Path, tile: int, run: Run) -> None:
    output = upscale_file(photo, tmp_path / "python.png", model=checkpoint, conditions=LEVEL, tile=tile)
    done = run(photo, "-m", checkpoint, "--condition", "noise_level=0.4", "--tile", tile, "-o", tmp_path / "cli.png")
    assert done.code == 0, done.err
    with Image.open(output) as python, Image.open(tmp_path / "cli.png") as cli:
        assert python.size == (92, 69)  # 61 and 46 by 1.5, rounded
        np.testing.assert_array_equal(np.asarray(python), np.asarray(cli))


def test_a_clip(checkpoint: Path, clips: Clips, tmp_path: Path, run: Run) -> None:
    source = clips("plain")
    lossless = ClipOptions(encode=EncodeOptions(codec="ffv1"))
    upscaler = Upscaler(checkpoint, device="cpu", conditions=LEVEL)
    output = upscale_video(source, tmp_path / "python.mkv", model=upscaler, options=lossless)
    done = run(
        source, "-m", checkpoint, "--condition", "noise_level=0.4", "--codec", "ffv1", "-o", tmp_path / "cli.mkv"
    )
    assert done.code == 0, done.err
    frames = [decoded(path) for path in (source, output, tmp_path / "cli.mkv")]
    assert [len(one) for one in frames[1:]] == [len(frames[0])] * 2
    assert frames[1][0].shape[1] == frames[0][0].shape[1] * 1.5
    for ours, theirs in zip(frames[1], frames[2], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def decoded(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


def test_what_is_missing_is_one_clear_line(checkpoint: Path, photo: Path, clips: Clips, run: Run) -> None:
    for source in (photo, clips("plain")):
        done = run(source, "-m", checkpoint)
        assert done.code == 2
        assert "toynet needs noise_level (how much to smooth, 0 to 1" in done.line
        assert "--condition noise_level=NUMBER" in done.line
        assert not list(source.parent.glob("*_1.5x*"))
    with pytest.raises(OptionError, match="needs noise_level"):
        Upscaler(checkpoint)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("noise_level=2", "noise_level 2 is out of range for toynet"),
        ("noise_level=nan", "out of range"),
        ("noise_level=much", "neither a number nor a file"),
        ("noise_level", "NAME=VALUE"),
        ("blur=1", "takes noise_level"),
    ],
)
def test_what_it_cannot_take_is_one_clear_line(
    checkpoint: Path, photo: Path, value: str, message: str, run: Run
) -> None:
    done = run(photo, "-m", checkpoint, "--condition", value)
    assert done.code == 2
    assert message in done.line


def test_our_own_nets_take_nothing(photo: Path, run: Run) -> None:
    done = run(photo, "-m", "espcn", "--condition", "noise_level=1")
    assert done.code == 2
    assert "espcn takes nothing but the picture" in done.line


def test_the_fingerprint_knows_it(checkpoint: Path) -> None:
    one, other = (Upscaler(checkpoint, conditions={"noise_level": level}).identity() for level in (0.1, 0.2))
    assert one != other
    assert "condition" not in Upscaler("espcn").identity()  # as before there were conditions


@pytest.mark.parametrize(
    ("source", "entry_points"),
    [
        ("raise RuntimeError", toy.ENTRY_POINTS),
        ("ARCH = 1", toy.ENTRY_POINTS),
        (toy.SOURCE, toy.ENTRY_POINTS.replace("toynet =", "other =")),
        (toy.SOURCE.replace('name="toynet"', 'name="espcn"'), toy.ENTRY_POINTS.replace("toynet =", "espcn =")),
    ],
)
def test_a_broken_plugin_is_reported_and_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, entry_points: str
) -> None:
    monkeypatch.syspath_prepend(str(toy.install(tmp_path / "site", source, entry_points)))
    forget()
    try:
        reported: list[str] = []
        names = [arch.name for arch in plugins.architectures(reported.append)]
        assert names == list(ARCHS)
        assert len(reported) == 1
        assert "ignored" in reported[0]
        assert list(plugins.architectures(reported.append))
        assert len(reported) == 1  # once
    finally:
        forget()


@pytest.mark.slow
def test_as_an_installed_package_it_serves_the_program(tmp_path: Path, photo: Path) -> None:
    site = toy.install(tmp_path / "site")
    checkpoint = toy.write_checkpoint(tmp_path / "toy.safetensors")
    path = os.pathsep.join([str(site), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [
        sys.executable, "-m", "upscale_cli", str(photo), "-m", str(checkpoint), "--condition", "noise_level=1",
    ]  # fmt: skip
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "photo_1.5x.png") as made:
        assert made.size == (92, 69)


def test_the_plugin_that_the_documents_show_runs(
    tmp_path: Path, photo: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (readme.REPOSITORY / "docs" / "plugins.md").read_text(encoding="utf-8")
    (source,), (entry_point,) = readme.blocks("python", text), readme.blocks("toml", text)
    ((_, group),) = tomllib.loads(entry_point)["project"]["entry-points"].items()
    entry_points = "[upscale_cli.archs]\n" + "\n".join(f"{name} = {place}" for name, place in group.items())
    monkeypatch.syspath_prepend(str(toy.install(tmp_path / "site", source, entry_points, "detailnet")))
    forget()
    try:
        shapes = {"conv_first.weight": (8, 3, 3, 3), "conv_first.bias": (8,)}
        shapes |= {"conv_last.weight": (12, 8, 3, 3), "conv_last.bias": (12,)}
        torch.manual_seed(0)
        checkpoint = tmp_path / "mine.safetensors"
        save_file({key: torch.randn(shape) / 10 for key, shape in shapes.items()}, checkpoint)

        lr = np.random.default_rng(1).random((23, 31, 3), dtype=np.float32)
        whole, tiled = (
            Upscaler(checkpoint, device="cpu", tile=tile, conditions={"strength": 0.5})(lr) for tile in (0, 8)
        )
        assert whole.shape == (46, 62, 3)
        np.testing.assert_allclose(tiled, whole, atol=1e-5)

        done = run(photo, "-m", checkpoint, "--condition", "strength=0.5", "-o", tmp_path / "out.png")
        assert done.code == 0, done.err
        assert "strength (how much detail to add, 0 to 1" in run(photo, "-m", checkpoint).line
    finally:
        forget()
        sys.modules.pop("detailnet", None)
