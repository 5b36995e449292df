"""The training scripts on a few rendered pictures, and what the bundled checkpoints they made can do."""

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image, ImageDraw
from safetensors import safe_open
from torch import nn

from benchmarks.report import with_tables
from training import card
from training.damage import damaged
from training.espcn import (
    WILD,
    Kind,
    Recipe,
    by_net,
    folded_sr,
    main,
    measure,
    psnr_loss,
    read_references,
    train,
    write_checkpoint,
)
from training.patches import Batch, cut_patches, read_lumas
from training.soap import Soap
from upscale_cli.evaluation.metrics import Plane, bicubic, crop_to_multiple, full_luma, studio_luma, to_8_bit
from upscale_cli.models.archs.espcn import ESPCN, recognise
from upscale_cli.models.interface import LoadedNet, SidecarMetadata
from upscale_cli.models.loading import build_net
from upscale_cli.models.registry import rows_of

REPOSITORY = Path(__file__).parent.parent
WEIGHTS = REPOSITORY / "weights"
SET5 = REPOSITORY.parent / "shared/eval/Set5"
SCALES = (2, 3, 4)
CORNER: dict[Kind, int] = {"espcn": 20, "espcn-robust": 22}
"""Levels of 255 by which flat pictures may be off in their corners; weights/README.md says so."""
SHORT = ("--scale=2", "--steps=3", "--patches=4", "--middle=16")


def rendered(seed: int, side: int = 144) -> Image.Image:
    """Overlapping discs, polygons and strokes, drawn four times as large and averaged: clean edges at any angle."""
    random = np.random.default_rng(seed)
    picture = Image.new("RGB", (4 * side, 4 * side), tuple(random.integers(60, 200, 3).tolist()))
    draw = ImageDraw.Draw(picture)
    for _ in range(25):
        colour = tuple(random.integers(0, 256, 3).tolist())
        x, y, radius = random.integers(0, 4 * side, 3).tolist()
        points = random.integers(0, 4 * side, (3, 2)) // 2 + (x // 2, y // 2)
        match random.integers(3):
            case 0:
                draw.ellipse((x - radius // 4, y - radius // 4, x + radius // 4, y + radius // 4), fill=colour)
            case 1:
                draw.polygon([tuple(point) for point in points.tolist()], fill=colour)
            case _:
                draw.line([tuple(point) for point in points.tolist()], fill=colour, width=int(random.integers(4, 16)))
    return picture.reduce(4)


def rendered_lumas(count: int = 3) -> list[Plane]:
    return [full_luma(np.asarray(rendered(seed))) for seed in range(count)]


def bundled(scale: int, kind: Kind = "espcn") -> ESPCN:
    """The net of a bundled checkpoint, built as the command builds it: from keys, shapes and metadata alone."""
    with safe_open(WEIGHTS / f"{kind}-x{scale}.safetensors", framework="pt") as file:
        state_dict = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        recognised = recognise(state_dict, SidecarMetadata.read(file.metadata()))
    assert recognised is not None
    assert not recognised.assumed
    assert (recognised.descriptor.colour, recognised.descriptor.luma_range) == ("luma", "full")
    net = build_net(LoadedNet(recognised.descriptor, recognised.state_dict))
    assert isinstance(net, ESPCN)
    assert net.scale == scale
    return net.eval()


# ---------------------------------------------------------------------------------------------- patches and net


def test_middles_of_the_patches_cover_every_pixel() -> None:
    (luma,) = rendered_lumas(1)
    patches = cut_patches([luma[:100, :133]], scale=3, shrinks=(1.0,), middle=12, halo=4)
    hr = crop_to_multiple(to_8_bit(luma[:100, :133]), 3)  # 99 x 132: LR 33 x 44, neither a multiple of 12
    assert patches.lr.shape == (3 * 4, 20, 20)
    assert patches.hr.shape == (3 * 4, 36, 36)
    rebuilt = np.full(hr.shape, -1.0)
    for number, (top, left) in enumerate((top, left) for top in (0, 12, 21) for left in (0, 12, 24, 32)):
        rebuilt[3 * top : 3 * top + 36, 3 * left : 3 * left + 36] = patches.hr[number].numpy()
    np.testing.assert_array_equal(rebuilt, hr)


def test_patches_give_what_the_whole_picture_gives_borders_included() -> None:
    """So that a net trained on them has met the picture's border just as it will be at run time."""
    torch.manual_seed(0)
    net = ESPCN(3, activation="relu").double()
    (luma,) = rendered_lumas(1)
    patches = cut_patches([luma], scale=3, shrinks=(1.0,), middle=12, halo=net.halo)  # LR 48 x 48: 4 x 4 patches
    batch = Batch(lr=patches.lr[:, None].double() / 255, inside=patches.inside[:, None].double(), hr=torch.empty(0))
    sr = torch.nn.functional.pixel_shuffle(folded_sr(net, batch), 3)[:, 0]
    tiled = torch.cat([torch.cat(list(row), dim=1) for row in sr.view(4, 4, 36, 36)])
    whole = net(torch.from_numpy(to_8_bit(bicubic(to_8_bit(luma), 1 / 3)))[None, None] / 255)[0, 0]
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-12)


def test_batches_turn_lr_and_hr_alike() -> None:
    patches = cut_patches(rendered_lumas(), scale=2, shrinks=(1.0, 0.6), middle=12, halo=4)
    batches = patches.batches(8, torch.Generator().manual_seed(3))
    for batch in (next(batches) for _ in range(12)):
        middle = batch.lr[..., 4:-4, 4:-4]
        assert batch.hr.shape == (8, 4, 12, 12)
        assert (batch.hr.mean(dim=1, keepdim=True) - middle).abs().mean() < 0.02
        assert bool((batch.lr[batch.inside == 0] == 0).all())


def test_pictures_too_small_for_a_patch_are_named() -> None:
    with pytest.raises(ValueError, match="96 pixels per side"):
        cut_patches([np.zeros((95, 200))], scale=4, shrinks=(1.0,), middle=24, halo=4)
    few = cut_patches([np.zeros((96, 96))], scale=4, shrinks=(1.0,), middle=24, halo=4)
    with pytest.raises(ValueError, match="1 patches cannot fill a batch of 2"):
        next(few.batches(2, torch.Generator()))


# ---------------------------------------------------------------------------------------------- optimiser, training


def distance_left(optimizer: str) -> float:
    """From the true weights, after 200 steps of a noisy linear fit; inputs vary in 20 oblique directions, each less."""
    torch.manual_seed(1)
    directions = torch.linalg.qr(torch.randn(20, 20)).Q * torch.logspace(0, -1.5, 20)[:, None]
    truth = torch.randn(4, 20)
    layer = nn.Linear(20, 4)
    soap, adam = Soap([layer], every=5), torch.optim.Adam(layer.parameters())
    for step in range(200):
        learning_rate = 0.1 * (1 - step / 200)
        inputs = torch.randn(64, 20) @ directions
        target = inputs @ truth.T + 0.1 * torch.randn(64, 4)
        layer.zero_grad()
        torch.nn.functional.mse_loss(layer(inputs), target).backward()  # type: ignore[no-untyped-call]
        if optimizer == "soap":
            soap.step(learning_rate)
        else:
            adam.param_groups[0]["lr"] = learning_rate
            adam.step()
    return (layer.weight - truth).abs().mean().item()


@pytest.mark.slow
def test_soap_sees_directions_that_adam_cannot() -> None:
    assert distance_left("soap") < 0.5 * distance_left("adam")


def test_soap_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="bias"):
        Soap([nn.Linear(2, 2, bias=False)])
    with pytest.raises(ValueError, match="backward"):
        Soap([nn.Linear(2, 2)]).step(1e-3)


def short_training(threads: int = 1) -> tuple[ESPCN, list[float]]:
    losses: list[float] = []
    patches = cut_patches(rendered_lumas(), scale=3, shrinks=(1.0, 0.6), middle=12, halo=4)
    recipe = Recipe(steps=80, warm_up=10, patches=8, middle=12, threads=threads)
    before = torch.get_num_threads()
    try:
        return train(patches, recipe, lambda _step, loss, _averaged: losses.append(loss)), losses
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_a_few_steps_lower_the_loss_and_a_seed_repeats_them() -> None:
    net, losses = short_training()
    again, _ = short_training()
    assert len(losses) == 80
    soft = Recipe().soft
    mse = soft * np.expm1(np.array(losses) / soft)  # the loss is its logarithm
    assert np.mean(mse[-5:]) < 0.25 * np.mean(mse[:5])
    for parameter, repeated in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.equal(parameter, repeated)


def test_the_loss_is_that_of_l2_for_near_patches_and_grows_slowly_for_far_ones() -> None:
    hr = torch.zeros(2, 1, 4, 4)
    near, far = torch.full_like(hr, 1e-3), torch.full_like(hr, 1.0)
    assert psnr_loss(near, hr, soft=1e-3).item() == pytest.approx(1e-6, rel=1e-3)
    assert psnr_loss(far, hr, soft=1e-3).item() == pytest.approx(1e-3 * np.log(1001), rel=1e-6)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_the_command_writes_a_checkpoint_and_its_log(kind: Kind, tmp_path: Path) -> None:
    for seed, name in enumerate(("train/a", "train/b", "eval/Set5")):
        (tmp_path / name).mkdir(parents=True)
        rendered(seed).save(tmp_path / name / "picture.png")
    folders = [f"--{name}={tmp_path / name}" for name in ("eval", "out", "logs", "checkpoints")]
    before = torch.get_num_threads()
    try:
        main([f"--data={tmp_path / 'train'}", *folders, f"--kind={kind}", *SHORT])
    finally:
        torch.set_num_threads(before)
    written = (tmp_path / f"out/{kind}-x2.safetensors").read_bytes()
    (log,) = card.read_logs(tmp_path / "logs")
    assert log["kind"] == kind
    assert ("Set5, JPEG 30" in log["scores"]) == (kind == "espcn-robust")
    assert log["sha256"] == hashlib.sha256(written).hexdigest()
    assert log["bytes"] == len(written)
    assert log["data"]["sets"] == ["a", "b"]
    assert log["scores"]["Set5"]["bicubic"]["psnr"] > 20
    assert [point["step"] for point in log["curve"]] == [3]
    assert (tmp_path / f"checkpoints/{kind}-x2.safetensors").is_file()
    assert not list(tmp_path.rglob("*.part"))


def test_a_training_begun_from_a_checkpoint_goes_on_from_it_and_its_log_says_so(tmp_path: Path) -> None:
    for seed, name in enumerate(("train/a", "eval/Set5")):
        (tmp_path / name).mkdir(parents=True)
        rendered(seed).save(tmp_path / name / "picture.png")
    common = [f"--data={tmp_path / 'train'}", *(f"--{name}={tmp_path / name}" for name in ("eval", "out", "logs"))]
    before = torch.get_num_threads()
    try:
        main([*common, *SHORT])
        path = tmp_path / "out/espcn-x2.safetensors"
        begun, (first,) = safetensors.torch.load_file(path), card.read_logs(tmp_path / "logs")
        main([*common, *SHORT, f"--begin={path}", "--learning-rate=1e-9"])
    finally:
        torch.set_num_threads(before)
    (log,) = card.read_logs(tmp_path / "logs")
    assert log["begun_from"] == {key: first[key] for key in ("sha256", "recipe", "versions", "seconds", "curve")}
    lr = torch.from_numpy(full_luma(np.asarray(rendered(0), np.float64))[None, None, ::2, ::2] / 255).float()
    srs = []
    for weights in (begun, safetensors.torch.load_file(path)):
        net = ESPCN(2, activation="relu")
        net.load_state_dict(weights)
        srs.append(net(lr))
    torch.testing.assert_close(srs[0], srs[1], rtol=0, atol=0.02)
    assert (srs[0] - ESPCN(2, activation="relu")(lr)).abs().max() > 0.2


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_metadata_tells_what_keys_cannot(activation: Literal["relu", "tanh"], tmp_path: Path) -> None:
    path = tmp_path / "espcn-x3.safetensors"
    write_checkpoint(ESPCN(3, activation=activation), path, data="rendered")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert SidecarMetadata.read(metadata) == SidecarMetadata(activation=activation, luma_range="full", colour="luma")
    assert metadata["scale"] == "3"
    assert metadata["data"] == "rendered"
    assert metadata["licence"] == rows_of("espcn")[0].licence


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("scale", SCALES)
def test_the_same_weights_make_the_same_file(scale: int, kind: Kind, tmp_path: Path) -> None:
    """But for the modelspec keys, which came after the bundled files."""
    log = log_of(kind, scale)
    paths = [tmp_path / number / log["file"] for number in ("one", "other")]
    for path in paths:
        write_checkpoint(bundled(scale, kind), path, data=", ".join(log["data"]["sets"]))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with safe_open(paths[0], "np") as made, safe_open(WEIGHTS / log["file"], "np") as bundled_file:
        assert made.metadata().items() >= bundled_file.metadata().items()
        assert made.keys() == bundled_file.keys()
        for key in made.keys():  # noqa: SIM118  # it is no mapping
            assert np.array_equal(made.get_tensor(key), bundled_file.get_tensor(key))


# ---------------------------------------------------------------------------------------------- bundled checkpoints


def log_of(kind: Kind, scale: int) -> card.Log:
    (log,) = (log for log in card.read_logs() if (log["kind"], log["scale"]) == (kind, scale))
    return log


def gain_over_bicubic(net: ESPCN, references: Sequence[Plane]) -> float:
    """dB of PSNR on luma, by the field's convention."""
    ours = measure(by_net(net), references, net.scale)
    return ours.psnr - measure(lambda lr: bicubic(lr, net.scale), references, net.scale).psnr


@pytest.mark.parametrize("scale", SCALES)
def test_bundled_net_beats_bicubic_on_rendered_pictures(scale: int) -> None:
    pictures = (np.asarray(rendered(seed)) for seed in range(100, 106))
    references = [crop_to_multiple(to_8_bit(studio_luma(picture)), scale) for picture in pictures]
    assert gain_over_bicubic(bundled(scale), references) >= 1.5


@pytest.mark.slow
@pytest.mark.parametrize("condition", [name for name, damage in WILD.items() if damage.codec])
@pytest.mark.parametrize("scale", SCALES)
def test_the_robust_kind_beats_the_plain_one_on_compressed_pictures(scale: int, condition: str) -> None:
    pictures = (np.asarray(rendered(seed)) for seed in range(100, 106))
    references = [crop_to_multiple(to_8_bit(studio_luma(picture)), scale) for picture in pictures]
    make_lr = partial(damaged, damage=WILD[condition])
    plain, robust = (measure(by_net(bundled(scale, kind)), references, scale, make_lr).psnr for kind in get_args(Kind))
    assert robust > plain


@pytest.mark.slow
@pytest.mark.parametrize("scale", SCALES)
def test_bundled_net_beats_bicubic_on_set5(scale: int) -> None:
    if not SET5.is_dir():
        pytest.skip(f"no Set5 at {SET5}")
    assert gain_over_bicubic(bundled(scale), read_references(SET5, scale)) >= 1.5


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("scale", SCALES)
def test_bundled_net_draws_no_frame_around_a_flat_picture(scale: int, kind: Kind) -> None:
    """Beyond the border are zeros, which are no black: a net that takes them for it frames every white document."""
    for level in (0.0, 0.25, 0.5, 0.75, 1.0):
        with torch.no_grad():
            error = (bundled(scale, kind)(torch.full((1, 1, 24, 32), level)) - level).abs() * 255
        corner = 4 * scale
        assert error.max() < CORNER[kind]  # a pixel or two in each corner
        assert error[..., corner:-corner, :].max() < 5
        assert error[..., corner:-corner].max() < 5


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("scale", SCALES)
def test_registry_log_and_file_agree(scale: int, kind: Kind) -> None:
    (spec,) = (row for row in rows_of(kind) if row.scale == scale)
    log = log_of(kind, scale)
    content = (WEIGHTS / spec.file).read_bytes()
    assert spec.bundled
    assert (spec.sha256, spec.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert (log["file"], log["sha256"], log["bytes"]) == (spec.file, spec.sha256, spec.size)
    assert f"macs={spec.macs:_}" in card.registry_row(log)


def test_pages_say_what_the_logs_say() -> None:
    for path, mark, tables in card.pages():
        page = path.read_text(encoding="utf-8")
        assert tables in page
        assert with_tables(page, tables, mark, card.STOP) == page


def test_logs_are_whole() -> None:
    for log in card.read_logs():
        assert json.loads(json.dumps(log)) == log
        assert log["curve"][-1]["step"] == log["recipe"]["steps"]
        measured = {key.removesuffix("_psnr"): value for key, value in log["curve"][-1].items() if "_psnr" in key}
        assert "Set5" in measured
        for name, value in measured.items():
            assert value == log["scores"][name][log["kind"]]["psnr"]


def test_lumas_are_read_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name, level in (("b.png", 10), ("a.jpg", 20), ("c.txt", 0)):
        if name.endswith("txt"):
            (tmp_path / name).write_text("terms")
        else:
            Image.new("L", (8, 8), level).save(tmp_path / name)
    assert [round(float(luma.mean())) for luma in read_lumas(tmp_path)] == [20, 10]
