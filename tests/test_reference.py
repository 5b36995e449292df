"""Nets that copy from a second picture of the scene: what the nets compute, and how the reference gets there."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.arch_checks import picture, seeded
from tests.command import Run
from tests.conftest import SHARED
from tests.family import bound, golden
from upscale_cli import Upscaler, load_model
from upscale_cli.errors import CheckpointError, DeviceError, OptionError
from upscale_cli.inference.conditions import read_reference
from upscale_cli.models.archs.crossnet import CrossNet
from upscale_cli.models.archs.feature_swap import swapped
from upscale_cli.models.archs.registration import registered, shift_between, shifted
from upscale_cli.models.archs.srntt import SRNTT
from upscale_cli.models.archs.vgg_features import VGGFeatures, load_features
from upscale_cli.models.loading import build_net, load_net

WIDE = (4, 8, 8, 16, 16, 16, 8, 8, 4, 4, 4, 4)
goldens = pytest.mark.skipif(not (SHARED / "goldens").is_dir(), reason="the shared folder with goldens is not here")


def crossnet(folder: Path, **card: Any) -> Path:
    """A small one with weights of no training, whose picture stays near what it improves."""
    net = seeded(lambda: CrossNet(4, WIDE, (4, 6)))
    path = folder / "crossnet.safetensors"
    save_file(dict(net.state_dict()), path)
    if card:
        path.with_suffix(".json").write_text(json.dumps(card))
    return path


def scene(height: int, width: int) -> Tensor:
    """(1, 3, H, W) of a real picture's size, with detail of all sizes."""
    lr = Image.fromarray(picture(120, 120)).resize((width, height), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(lr, np.float32) / 255).permute(2, 0, 1)[None]


def blurred(large: Tensor, scale: int) -> Tensor:
    """What a picture looks like that was shrunk, and enlarged again."""
    height, width = large.shape[-2:]
    resize = torch.nn.functional.interpolate
    small = resize(large, size=(height // scale, width // scale), mode="bicubic", antialias=True)
    return resize(small, size=(height, width), mode="bicubic")


# The nets


@goldens
@pytest.mark.parametrize("arch", ["crossnet", "srntt"])
def test_the_nets_are_the_references(arch: str) -> None:
    pair = golden(arch)
    tensors = pair.tensors()
    sr = tensors.pop("sr")
    model = load_model(pair.weights, card=pair.card)
    with torch.inference_mode():
        assert float((model.net(**tensors) - sr).abs().max()) <= bound(pair, sr)
    assert model.descriptor.arch == arch
    assert [spec.kind for spec in model.descriptor.inputs] == ["reference"]


def test_crossnets_of_other_widths_come_back(tmp_path: Path) -> None:
    path = crossnet(tmp_path, scale=8)
    model = load_model(path)
    assert model.descriptor.only_scale == 8
    given = [torch.rand(2, 3, 64, 128) for _ in range(3)]
    own = CrossNet(4, WIDE, (4, 6))
    own.load_state_dict(load_file(path))
    with torch.inference_mode():
        assert torch.allclose(model.net(*given), own(*given), atol=1e-6)


def test_pictures_of_any_size_are_continued_by_their_last_pixels(tmp_path: Path) -> None:
    """The reference takes sides that divide by 64 only."""
    net = load_model(crossnet(tmp_path)).net
    given = [torch.rand(2, 3, 23, 70) for _ in range(3)]
    with torch.inference_mode():
        whole = net(*(torch.nn.functional.pad(one, (0, 58, 0, 41), mode="replicate") for one in given))
        assert whole.shape == (2, 3, 64, 128)
        torch.testing.assert_close(net(*given), whole[..., :23, :70])


def test_the_reimplementation_goes_through_both_fusions(tmp_path: Path) -> None:
    renamed = {"FlowNet": "flownet", "Encoder": "encoder", "UNet_decoder_2": "decoder"}
    state = load_file(crossnet(tmp_path))
    path = tmp_path / "other.safetensors"
    parted = {tuple(key.split(".", 1)): value for key, value in state.items()}
    save_file({f"{renamed[first]}.{rest}": value for (first, rest), value in parted.items()}, path)
    given = [torch.rand(1, 3, 64, 64) for _ in range(3)]
    one, other = load_model(tmp_path / "crossnet.safetensors"), load_model(path)
    assert (one.descriptor.config["fusions"], other.descriptor.config["fusions"]) == (1, 2)
    assert not torch.allclose(one.net(*given), other.net(*given), atol=1e-3)


def test_srntts_of_other_widths_come_back(tmp_path: Path) -> None:
    net = seeded(lambda: SRNTT(8, 3, use_weights=False))
    save_file(dict(net.state_dict()), tmp_path / "net.safetensors")
    model = load_model(tmp_path / "net.safetensors")
    assert (model.descriptor.config["ngf"], model.descriptor.config["n_blocks"]) == (8, 3)
    lr, maps = torch.rand(1, 3, 7, 9), [torch.rand(1, 256 >> level, 7 << level, 9 << level) for level in range(3)]
    with torch.inference_mode():
        assert torch.allclose(model.net(lr, *maps), net(lr, *maps), atol=1e-5)


# The swap


@goldens
def test_the_swap_is_the_references() -> None:
    facts = load_file(SHARED / "goldens/srntt/swap1.safetensors")
    names = ("relu3_1", "relu2_1", "relu1_1")
    found = swapped(facts["in.relu3_1"], facts["ref_blur.relu3_1"], [facts[f"ref.{name}"] for name in names])
    assert torch.equal(found.index, facts["out.index"].long())
    assert torch.allclose(found.likeness, facts["out.weights"], atol=1e-6)
    for made, name in zip(found.maps, names, strict=True):
        assert torch.allclose(made[0], facts[f"out.{name}"], atol=1e-6)


def test_a_shifted_reference_is_matched_at_that_shift() -> None:
    """At least 95 of 100 patches: those whose like is still in the picture, all of them."""
    torch.manual_seed(0)
    large = torch.rand(1, 16, 50, 60)
    down, across = 3, 5
    content, reference = large[..., :40, :50], large[..., down : 40 + down, across : 50 + across]
    fine = [torch.rand(1, 8, 40 << level, 50 << level) for level in range(3)]
    found = swapped(content, reference, fine)
    rows, columns = found.index // 48, found.index % 48
    y, x = torch.meshgrid(torch.arange(38), torch.arange(48), indexing="ij")
    there = (y >= down) & (x >= across)
    right = (rows == y - down) & (columns == x - across)
    assert float(right[there].float().mean()) >= 0.95
    inside = (slice(None), slice(None), slice(4 * (down + 2), 4 * 37), slice(4 * (across + 2), 4 * 47))
    moved = fine[2].roll((4 * down, 4 * across), dims=(2, 3))
    assert torch.allclose(found.maps[2][inside], moved[inside], atol=1e-5)


def test_too_small_for_a_patch() -> None:
    with pytest.raises(ValueError, match="no patch"):
        swapped(torch.rand(1, 4, 2, 9), torch.rand(1, 4, 9, 9), [])


# Registration


@pytest.mark.parametrize(("down", "across"), [(0, 0), (7, -12), (-3.5, 9.25), (31, 40)])
@pytest.mark.parametrize("scale", [4, 8])
def test_a_shifted_and_brightened_reference_comes_back(down: float, across: float, scale: int) -> None:
    """Within a pixel and two levels of 255, though the picture that it is laid over has lost all that is fine."""
    sharp = scene(256, 320)
    reference = (0.85 * shifted(sharp, -down, -across) + 0.08).clamp(0, 1)
    picture = blurred(sharp, scale)
    found = shift_between(reference.mean(1)[0], picture.mean(1)[0], scale)
    assert found == pytest.approx((down, across), abs=1)
    brought = registered(reference, picture, scale)
    inside = (..., slice(50, -50), slice(50, -50))
    assert abs(float((brought - picture)[inside].mean())) <= 2 / 255
    near = blurred(brought, scale)  # as coarse as the picture, so that no detail hides the light
    assert float((near - picture)[inside].abs().mean()) <= 2 / 255


def test_nothing_to_go_by() -> None:
    blank, noise = torch.full((1, 3, 32, 40), 0.5), torch.rand(1, 3, 32, 40)
    assert shift_between(blank[0, 0], noise[0, 0], 4) == (0, 0)
    assert torch.isfinite(registered(blank, noise, 4)).all()
    assert torch.isfinite(registered(noise, blank, 4)).all()


# From a picture to a larger one


def test_from_the_command_line(run: Run, tmp_path: Path) -> None:
    """A reference of another size, moved; the picture depends on it, and on nothing else that is new."""
    net = crossnet(tmp_path)
    sharp = (scene(200, 280)[0].permute(1, 2, 0).numpy() * 255).round().clip(0, 255).astype(np.uint8)
    Image.fromarray(sharp).resize((70, 50), Image.Resampling.BICUBIC).save(tmp_path / "lr.png")
    Image.fromarray(sharp).resize((420, 300), Image.Resampling.BICUBIC).save(tmp_path / "reference.png")
    Image.fromarray(255 - sharp).save(tmp_path / "other.png")

    def made(reference: str) -> Any:
        output = tmp_path / f"by-{reference}"
        told = run(
            tmp_path / "lr.png", "-o", output, "-m", net, "-s", 4, "--reference", tmp_path / reference,
            "--device", "cpu",
        )  # fmt: skip
        assert told.code == 0, told.err
        return np.asarray(Image.open(output)).astype(int)

    one, other = made("reference.png"), made("other.png")
    assert one.shape == (200, 280, 3)
    assert np.abs(one - other).max() > 3
    by_python = Upscaler(net, device="cpu", reference=tmp_path / "reference.png")(
        Image.open(tmp_path / "lr.png"), scale=4
    )
    assert np.array_equal(np.asarray(by_python), one)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "crossnet needs reference (a sharper picture of the same scene), which is not given. Give --reference"),
        (("--reference", "wide.png"), "--reference: 90 x 30 is of another aspect than the picture, 40 x 30. Give one"),
        (("--reference", "nowhere.png"), "nowhere.png: there is no such file"),
        (("--reference", "text.png"), "text.png"),
    ],
)  # fmt: skip
def test_wrong_references_are_one_line(
    arguments: tuple[str, ...], line: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    crossnet(tmp_path)
    Image.new("RGB", (40, 30)).save("lr.png")
    Image.new("RGB", (90, 30)).save("wide.png")
    Path("text.png").write_text("no picture")
    told = run("lr.png", "-o", "out.png", "-m", "crossnet.safetensors", "--device", "cpu", *arguments)
    assert told.code != 0
    assert line in told.line
    assert not Path("out.png").exists()


def test_other_nets_have_no_use_for_one() -> None:
    with pytest.raises(OptionError, match="reference=: espcn takes nothing but the picture"):
        Upscaler("espcn", device="cpu", reference=np.zeros((3, 24, 24), np.float32))(picture(24, 24), scale=2)


def test_gray_references_and_wrong_arrays() -> None:
    assert read_reference(np.zeros((1, 4, 5), np.float32)).shape == (3, 4, 5)
    with pytest.raises(OptionError, match="is no picture"):
        read_reference(np.zeros((4, 5), np.float32))


def test_a_picture_that_has_to_be_cut_is_refused(tmp_path: Path) -> None:
    """A part of it would be laid over the whole reference."""
    upscaler = Upscaler(crossnet(tmp_path), device="cpu", tile=32, reference=np.zeros((3, 200, 200), np.float32))
    with pytest.raises(DeviceError, match="as a whole"):
        upscaler(picture(200, 200), scale=4)


def test_srntt_wants_vgg19(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With made-up features: its likeness is then of no use, but all that happens to a picture does."""
    net = seeded(lambda: SRNTT(8, 1, use_weights=True))
    path = tmp_path / "srntt.safetensors"
    save_file({key: 0.2 * value for key, value in net.state_dict().items()}, path)
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("UPSCALE_WEIGHTS", str(folder))
    lr = (scene(24, 32)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    reference = scene(96, 128)[0].numpy()
    with pytest.raises(CheckpointError, match=r"features of VGG19, whose weights are not here\. Put https"):
        Upscaler(path, device="cpu", engine="torch", reference=reference)(lr, scale=4)
    made = seeded(VGGFeatures)
    save_file({"features.0.weight": torch.zeros(2, 3)}, folder / "vgg19.safetensors")
    with pytest.raises(CheckpointError, match="is no VGG19"):
        load_features(folder / "vgg19.safetensors")
    save_file(dict(made.state_dict()) | {"classifier.0.weight": torch.zeros(4)}, folder / "vgg19.safetensors")
    sr = Upscaler(path, device="cpu", engine="torch", reference=reference)(lr, scale=4)
    assert sr.shape == (96, 128, 3)
    other = Upscaler(path, device="cpu", engine="torch", reference=1 - reference)(lr, scale=4)
    assert not np.array_equal(sr, other)
    build_net(load_net(path))
