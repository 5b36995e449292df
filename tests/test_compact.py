"""Training of the narrow nets: what is computed, that it can be interrupted, and the pictures made for it."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.report import REPOSITORY
from tests.test_training import rendered, rendered_lumas
from training import card, compact, free_pictures
from training import rendered as drawn
from training.collapsed import LOOKED_AT, Chain, folded_sr
from training.compact import Recipe, Training, Watch
from training.espcn import by_net, measure
from training.patches import Patches, cut_patches, flat_corners
from upscale_cli.evaluation.metrics import bicubic, crop_to_multiple, studio_luma, to_8_bit
from upscale_cli.models.loading import build_net, load_net
from upscale_cli.models.registry import MODELS, Spec, rows_of

ROWS = [spec for spec in MODELS if spec.model.removesuffix("-robust") in card.COMPACT]
MOST_WORK = {"swift": 12_500, "sharp": 21_200}
"""Multiply-adds per LR pixel at x2."""
CORNER = 22
"""Levels of 255 by which flat pictures may be off in their corners; weights/README.md says so."""

RECIPE = Recipe(num_feat=4, num_conv=2, patches=4, middle=16, warm_up=2)


@pytest.fixture(scope="module")
def patches() -> Patches:
    return cut_patches(rendered_lumas(), scale=2, shrinks=(1.0,), middle=16, halo=4)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(training: Training, patches: Patches, until: int) -> Training:
    training.learn(patches, Watch({}, training.scale, until=until))
    return training


@pytest.mark.parametrize("width", [0, 8])
def test_a_chain_in_training_computes_what_the_saved_net_does_borders_included(width: int) -> None:
    torch.manual_seed(0)
    chain = Chain(3, num_feat=4, num_conv=2, width=width)
    (luma,) = rendered_lumas(1)
    tiles = cut_patches([luma], scale=3, shrinks=(1.0,), middle=12, halo=4)  # LR 48 x 48: 4 x 4 patches
    with torch.no_grad():
        folded = folded_sr(chain.kernels(), tiles.batch(torch.arange(16), way=0), torch.float32)
        sr = torch.nn.functional.pixel_shuffle(folded, 3)[:, 0]
        tiled = torch.cat([torch.cat(list(row), dim=1) for row in sr.view(4, 4, 36, 36)])
        lr = torch.from_numpy(to_8_bit(bicubic(to_8_bit(luma), 1 / 3))).float()[None, None] / 255
        whole = chain.net()(lr)[0, 0]
    assert (whole - lr.mean()).abs().max() > 0.1
    torch.testing.assert_close(tiled, whole, rtol=0, atol=2e-6)


def test_a_deeper_net_begins_as_the_shallow_one_and_another_scale_keeps_all_but_the_last_layer() -> None:
    torch.manual_seed(0)
    shallow = Chain(2, num_feat=4, num_conv=5, width=0).net()
    deep, other = Chain(2, num_feat=4, num_conv=7, width=0), Chain(3, num_feat=4, num_conv=5, width=0)
    for chain in (deep, other):
        chain.begin_from(dict(sorted(shallow.state_dict().items())))  # body.10 before body.2, as files have them
    lr = torch.rand(1, 1, 9, 8)
    with torch.no_grad():
        torch.testing.assert_close(deep.net()(lr), shallow(lr), rtol=0, atol=1e-6)
    begun, given = other.net().state_dict(), shallow.state_dict()
    assert torch.equal(begun["body.10.weight"], given["body.10.weight"])
    assert begun["body.12.weight"].shape == (9, 4, 3, 3)
    with pytest.raises(ValueError, match="not trained wide"):
        Chain(2, num_feat=4, num_conv=3, width=8).begin_from(shallow.state_dict())


def test_channels_that_learn_nothing_begin_again_and_the_net_computes_what_it_did(patches: Patches) -> None:
    training = Training.begun(RECIPE, 2)
    first, _, third, _ = training.chain.convolutions()
    assert first.bias is not None
    assert third.bias is not None
    with torch.no_grad():
        first.bias[2] = third.bias[1] = -100  # never above 0
    every = patches.some(len(patches))
    before = folded_sr(training.chain.kernels(), every, torch.float32)
    alive = first.weight[[0, 1, 3]].clone()
    assert training.revive(patches) >= 2
    torch.testing.assert_close(folded_sr(training.chain.kernels(), every, torch.float32), before, rtol=0, atol=1e-6)
    assert torch.equal(first.weight[[0, 1, 3]], alive)
    assert training.revive(patches) == 0
    step = trained(training, patches, until=30)
    assert step.chain.convolutions()[1].weight[:, 2].abs().max() > 1e-3  # what follows heeds it by now
    with pytest.raises(ValueError, match="trained wide"):
        Training.begun(replace(RECIPE, width=8), 2).revive(patches)


def test_a_channel_that_is_0_everywhere_wakes_where_that_helps_and_is_pushed_no_further(patches: Patches) -> None:
    training = Training.begun(RECIPE, 2)
    first, following = training.chain.convolutions()[:2]
    assert first.bias is not None
    with torch.no_grad():
        first.bias[:] = torch.tensor([0.1, -9.0, 0.1, -9.0])  # luma is at most 1
        following.weight[:, 3] = 0  # nothing heeds it: nothing pulls it up
    batch = patches.some(LOOKED_AT)
    loss = (folded_sr(training.chain.kernels(), batch, torch.float32) - batch.hr).square().mean()
    torch.autograd.backward(loss)
    assert first.bias.grad is not None
    assert first.bias.grad[1] < 0, "a step against it makes the bias larger"
    assert first.bias.grad[3] == 0


@pytest.mark.parametrize("seed", range(3))
def test_corners_in_training_are_those_of_whole_flat_pictures(seed: int) -> None:
    torch.manual_seed(seed)
    chain = Chain(2, num_feat=4, num_conv=2, width=0)
    batch = flat_corners(2, 6, halo=4, scale=2, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        corners = torch.nn.functional.pixel_shuffle(folded_sr(chain.kernels(), batch, torch.float32), 2)
        for level, corner in zip(batch.hr[:, 0, 0, 0], corners, strict=True):
            whole = chain.net()(torch.full((1, 1, 20, 20), float(level)))[0]
            four = [whole[:, top : top + 12, left : left + 12] for top in (0, 28) for left in (0, 28)]
            assert sum(torch.allclose(corner, one, rtol=0, atol=2e-6) for one in four) == 1


def test_corners_weigh_as_much_as_the_recipe_says(patches: Patches, monkeypatch: pytest.MonkeyPatch) -> None:
    def gradient(weight: float) -> torch.Tensor:
        training = Training.begun(replace(RECIPE, corners=weight), 2)
        monkeypatch.setattr(training.soap, "step", [].append)
        trained(training, patches, until=1)
        return torch.cat(
            [conv.weight.grad.flatten() for conv in training.chain.convolutions() if conv.weight.grad is not None]
        )

    none, once, twice = (gradient(weight) for weight in (0.0, 1.0, 2.0))
    assert (once - none).abs().max() > 1e-4
    torch.testing.assert_close(twice - none, 2 * (once - none), rtol=1e-3, atol=1e-6)


def test_batches_after_some_steps_are_those_that_would_have_come(patches: Patches) -> None:
    """Over the end of a round, too: there are few patches."""
    per_round = len(patches) // 8
    whole = list(islice(patches.batches_after(0, 8, seed=2), 3 * per_round))
    for steps in (1, per_round, per_round + 2):
        for batch, expected in zip(patches.batches_after(steps, 8, seed=2), whole[steps:], strict=False):
            assert torch.equal(batch.lr, expected.lr)
            assert torch.equal(batch.hr, expected.hr)
    assert not torch.equal(whole[0].lr, whole[per_round].lr)


@pytest.mark.parametrize("width", [0, 8])
def test_an_interrupted_training_ends_as_one_that_was_not(width: int, patches: Patches, tmp_path: Path) -> None:
    recipe = Recipe(num_feat=4, num_conv=2, patches=4, middle=16, warm_up=2, width=width)
    through = trained(Training.begun(recipe, 2), patches, until=8)
    trained(Training.begun(recipe, 2), patches, until=5).write(tmp_path / "state.pt")
    resumed = trained(Training.read(tmp_path / "state.pt"), patches, until=8)
    assert resumed.step == 8
    assert [point["step"] for point in resumed.curve] == [5, 8]
    for ours, theirs in ((resumed.chain, through.chain), (resumed.averaged, through.averaged)):
        for parameter, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(parameter, expected)


def test_the_command_pauses_goes_on_and_writes_the_net_when_its_rate_has_fallen(tmp_path: Path) -> None:
    for seed, name in enumerate(("train/a", "train/b", "eval/Set5")):
        (tmp_path / name).mkdir(parents=True)
        rendered(seed, side=160).save(tmp_path / name / "picture.png")
    folders = [f"--{name}={tmp_path / name}" for name in ("eval", "state", "out", "logs")]
    common = ["swift", f"--data={tmp_path / 'train'}", *folders]
    small = ["--num-feat=4", "--num-conv=1", "--patches=2", "--middle=24"]
    compact.main([*common, *small, "--until=3"])
    compact.main([*common, "--until=5"])  # the recipe is the state's
    assert not (tmp_path / "out").exists()
    compact.main([*common, "--decay", "--decay-steps=4"])
    log = json.loads((tmp_path / "logs/swift-x2.json").read_text())
    content = (tmp_path / "out/swift-x2.safetensors").read_bytes()
    assert (log["bytes"], log["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert (log["macs"], log["recipe"]["steps"], log["recipe"]["decay"]) == (9 * (4 + 16 + 16), 9, [5, 9])
    assert [point["step"] for point in log["curve"]] == [3, 5, 9]
    assert log["curve"][-1]["Set5_psnr"] == log["scores"]["Set5"]["swift"]["psnr"]
    assert log["data"]["sets"] == ["a", "b"]
    net = load_net(tmp_path / "out/swift-x2.safetensors", say=lambda text: pytest.fail(text))
    facts = net.descriptor
    assert (facts.arch, facts.colour, facts.luma_range, facts.halo) == ("srvgg", "luma", "full", 3)
    assert facts.config["act_type"] == "relu"


def test_the_rate_falls_to_nothing_and_only_in_the_decay(patches: Patches, monkeypatch: pytest.MonkeyPatch) -> None:
    training = trained(Training.begun(RECIPE, 2), patches, until=4)
    assert training.done == 0
    training.decay = 4, 12
    rates: list[float] = []
    monkeypatch.setattr(training.soap, "step", rates.append)
    training.learn(patches, Watch({}, 2))
    assert (training.step, training.done) == (12, 1)
    assert rates == sorted(rates, reverse=True)
    assert rates[0] < RECIPE.learning_rate
    assert rates[-1] < 0.01 * RECIPE.learning_rate


# ---------------------------------------------------------------------------------------------- pictures


def deb(files: dict[str, bytes]) -> bytes:
    """A package of Debian's that holds these files, and nothing else."""
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode="w:xz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    package = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0\n"), ("data.tar.xz", kept.getvalue())):
        package += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content
        package += b"\n" * (len(content) % 2)
    return package


def test_listed_pictures_come_out_of_a_package_that_is_the_listed_one(tmp_path: Path) -> None:
    kept = io.BytesIO()
    picture = Image.fromarray(np.kron(np.arange(256, dtype=np.uint8).reshape(16, 16), np.ones((40, 40), np.uint8)))
    picture.save(kept, "PNG")
    package = deb({"usr/share/some/a.png": kept.getvalue(), "usr/share/some/b.png": kept.getvalue()})
    listed: dict[str, Any] = {
        "package": "some", "version": "1", "sha256": hashlib.sha256(package).hexdigest(),
        "pictures": [{"path": "usr/share/some/b.png"}],
    }  # fmt: skip
    assert free_pictures.extract(listed, package, tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["some-b.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "some-b.png"))[..., 0], np.asarray(picture)[::2, ::2])
    with pytest.raises(ValueError, match="some: its sha256"):
        free_pictures.extract(listed, package + b"\n", tmp_path)


def test_every_listed_picture_has_its_author_and_terms() -> None:
    listed = json.loads(free_pictures.LIST.read_text(encoding="utf-8"))["packages"]
    assert {one["package"] for one in listed} >= {"mate-backgrounds", "lomiri-wallpapers-16.04"}
    for package in listed:
        assert len(package["sha256"]) == 64
        for picture in package["pictures"]:
            assert picture["author"]
            assert picture["licence"] in ("CC0-1.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "GPL-2+", "LGPL-3")


def test_rendered_pictures_are_the_same_for_a_seed_and_each_another(tmp_path: Path) -> None:
    for name in ("one", "other"):
        drawn.main([f"--out={tmp_path / name}", "--count=4"])
    one, other = ([path.read_bytes() for path in sorted((tmp_path / name).iterdir())] for name in ("one", "other"))
    assert one == other
    assert len(set(one)) == 4


# ---------------------------------------------------------------------------------------------- bundled checkpoints


def of(spec: Spec) -> str:
    return f"{spec.model}-x{spec.scale}"


@pytest.mark.parametrize("spec", ROWS, ids=of)
def test_registry_log_and_file_of_a_narrow_net_agree(spec: Spec) -> None:
    log = json.loads((card.LOGS / f"{of(spec)}.json").read_text(encoding="utf-8"))
    content = (REPOSITORY / "weights" / spec.file).read_bytes()
    assert (spec.sha256, spec.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert (log["file"], log["sha256"], log["bytes"], log["macs"]) == (spec.file, spec.sha256, spec.size, spec.macs)
    last, whole = log["curve"][-1], log["recipe"]
    assert (last["step"], last["step"]) == (whole["steps"], whole["decay"][1])  # its rate had fallen
    assert last["Set5_psnr"] == log["scores"]["Set5"][spec.model]["psnr"]
    assert f"macs={spec.macs:_}" in card.registry_row(log)
    work = MOST_WORK[spec.model.removesuffix("-robust")]
    assert spec.macs <= work + 9 * 16 * (spec.scale**2 - 4)  # what a last layer for more pixels needs


@pytest.mark.parametrize("spec", ROWS, ids=of)
def test_a_narrow_net_is_nearer_than_espcn_and_draws_no_frame(spec: Spec) -> None:
    pictures = (np.asarray(rendered(seed)) for seed in range(100, 103))
    references = [crop_to_multiple(to_8_bit(studio_luma(picture)), spec.scale) for picture in pictures]
    espcn = next(row for row in rows_of("espcn") if row.scale == spec.scale)
    net, other = (build_net(load_net(REPOSITORY / "weights" / row.file)).eval() for row in (spec, espcn))
    if not spec.model.endswith("-robust"):
        ours, theirs = (measure(by_net(one), references, spec.scale).psnr for one in (net, other))
        assert ours > theirs + 0.1
    corner = 4 * spec.scale
    for level in (0.0, 0.5, 1.0):
        with torch.no_grad():
            error = (net(torch.full((1, 1, 32, 40), level)) - level).abs() * 255
        assert error.max() < CORNER
        assert max(error[..., corner:-corner, :].max(), error[..., corner:-corner].max()) < 5
