"""Several nets in one run: each gets what the one before has made; and nets between nets."""

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from tests.command import Run
from tests.nets import picture_net
from upscale_cli import Upscaler
from upscale_cli.batch.folder import job_options
from upscale_cli.errors import CheckpointError, OptionError, UnknownModelError
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.image import Frame, Pixels
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.video_upscaler import VideoUpscaler
from upscale_cli.jobs.job import PhotoOptions
from upscale_cli.jobs.naming import Naming
from upscale_cli.jobs.plan import Planner
from upscale_cli.models.archs.srvgg import SRVGGNetCompact
from upscale_cli.models.asked import Part, absolute, asked
from upscale_cli.models.chain import descriptor_of
from upscale_cli.models.interface import Descriptor, InputSpec, LoadedNet
from upscale_cli.models.loading import load_net
from upscale_cli.models.mixing import mixed
from upscale_cli.models.registry import rows_of
from upscale_cli.models.store import bundled_folder

ESPCN = bundled_folder() / "espcn-x2.safetensors"


def checkpoint(path: Path, scale: int, *, channels: int = 3, seed: int = 0, width: int = 6, depth: int = 2) -> Path:
    """A small exact net, near to enlarging by the nearest pixel."""
    torch.manual_seed(seed)
    net = SRVGGNetCompact(channels, width, depth, scale)
    last = net.body[-1]
    assert isinstance(last, torch.nn.Conv2d)
    torch.nn.init.normal_(last.weight, std=0.05)
    save_file(net.state_dict(), path)
    return path


@pytest.fixture
def restorer(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "1x-clean.safetensors", 1, seed=1)


@pytest.fixture
def enlarger(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "2x-large.safetensors", 2, seed=2)


def one_after_the_other(paths: list[Path], pixels: Pixels) -> Pixels:
    """(H, W, C) float32 through the nets, whole and without tiles."""
    picture = torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy())
    for path in paths:
        picture = picture_net(load_net(path))(picture)
    return np.ascontiguousarray(picture[0].numpy().transpose(1, 2, 0))


def chained(paths: list[Path], pixels: Pixels, **options: Any) -> Pixels:
    upscaler = Upscaler("+".join(map(str, paths)), device="cpu", **options)
    frame = Frame(pixels, "RGB" if pixels.shape[2] == 3 else "L")
    plan = upscaler.plan(frame.width, frame.height, upscaler.target())
    return upscaler.upscale(frame, plan).pixels


# The chain


@pytest.mark.parametrize("engine", ["torch", "openvino", "onnxruntime"])
@pytest.mark.parametrize("tile", [0, 16])
def test_a_chain_gives_what_its_nets_give_one_after_the_other(
    restorer: Path, enlarger: Path, noise: Callable[..., Pixels], engine: str, tile: int
) -> None:
    if engine != "torch":
        pytest.importorskip(engine)
    paths = [restorer, enlarger, ESPCN]  # the last works on luma alone
    lr = noise(37, 45, 3, dtype=np.float32) * 0.6 + 0.2
    found = chained(paths, lr, tile=tile, engine=engine, precision="fp32")
    assert found.shape == (4 * 37, 4 * 45, 3)
    np.testing.assert_allclose(found, one_after_the_other(paths, lr), atol=2e-5)


def test_gray_pictures_go_through_a_chain_too(restorer: Path, enlarger: Path, noise: Callable[..., Pixels]) -> None:
    lr = noise(20, 30, 1, dtype=np.float32) * 0.6 + 0.2
    for paths in ([restorer, enlarger], [ESPCN, enlarger], [ESPCN, ESPCN]):
        np.testing.assert_allclose(chained(paths, lr, tile=16), one_after_the_other(paths, lr), atol=2e-5)


def test_a_chain_of_luma_nets_is_a_luma_net(tmp_path: Path) -> None:
    luma = load_net(ESPCN).descriptor
    rgb = load_net(checkpoint(tmp_path / "rgb.safetensors", 2)).descriptor
    assert (descriptor_of([(luma, 2), (luma, 2)]).colour, descriptor_of([(luma, 2), (rgb, 2)]).colour) == (
        "luma",
        "rgb",
    )


def test_halos_add_up_in_lr_pixels_and_are_enough(tmp_path: Path) -> None:
    paths = [checkpoint(tmp_path / f"{n}.safetensors", 2, seed=n, depth=3) for n in range(3)]
    nets = [load_net(path).descriptor for path in paths]
    assert [net.halo for net in nets] == [5, 5, 5]
    facts = descriptor_of([(net, 2) for net in nets])
    assert facts.halo == 5 + 4  # ceil((ceil(5 / 2) + 5) / 2) more
    assert facts.scales == (8,)
    # A probe: what lies further away has no part in an SR pixel.
    lr = torch.zeros(1, 3, 41, 41)
    changed = lr.clone()
    changed[..., 20 - facts.halo - 1, 20] = changed[..., 20, 20 + facts.halo + 1] = 1.0

    def at_the_middle(picture: torch.Tensor) -> torch.Tensor:
        for path in paths:
            picture = picture_net(load_net(path))(picture)
        return picture[..., 160:168, 160:168]

    with torch.no_grad():
        torch.testing.assert_close(at_the_middle(lr), at_the_middle(changed), rtol=0, atol=0)


def test_sides_suit_every_net() -> None:
    def net(**facts: Any) -> Descriptor:
        return Descriptor(arch="x", scales=(2,), halo=3, exact=True, **facts)

    assert descriptor_of([(net(), 2), (net(multiple_of=4, least_side=30), 2)]).multiple_of == 2
    assert descriptor_of([(net(), 2), (net(multiple_of=4, least_side=31), 2)]).least_side == 16
    assert descriptor_of([(net(), Fraction(3, 2)), (net(multiple_of=4), 2)]).multiple_of == 8
    assert descriptor_of([(net(), 2), (net(fixed_sides=(64, 96)), 2)]).fixed_sides == (32, 48)
    assert descriptor_of([(net(sees_whole=True), 2), (net(), 2)]).exact is False
    kernel = InputSpec(name="kernel", shape=(15, 15))
    with pytest.raises(OptionError, match="two nets of this chain take kernel"):
        descriptor_of([(net(inputs=(kernel,)), 2), (net(inputs=(replace(kernel, shape=(21, 21)),)), 2)])


def test_scales_multiply_and_rows_of_the_registry_are_chosen(restorer: Path) -> None:
    upscaler = Upscaler(f"{restorer}+espcn", device="cpu")
    assert (upscaler.only_scale, upscaler.default_scale) == (None, 4)
    for scale in (2, 3, 4):
        assert upscaler.plan(10, 10, Target(scale=scale)).passes == (scale,)
    assert upscaler.plan(10, 10, Target(scale=2.5)).passes == (3,)
    assert upscaler.plan(10, 10, Target(scale=16)).passes == (16,)
    assert upscaler.pass_names(upscaler.plan(10, 10, Target(scale=16))) == (
        "srvgg x1, 4 convolutions + espcn-x4 + espcn-x4",
    )


@pytest.mark.parametrize(
    ("model", "scale", "words"),
    [
        ("espcn+bicubic", 4, "bicubic is no net"),
        ("espcn+nosuch", 4, "'nosuch' is neither"),
        ("espcn++espcn", 4, "there is no name"),
        ("photo-lite+photo-lite", 4, r"makes 16x, and without photo-lite it makes 4x already"),
        ("photo-lite+espcn", 3, "Leave espcn out, or choose a larger"),
        ("photo-lite+photo-lite+photo-lite+photo-lite+photo-lite+photo-lite", 4, "at most 1024 make sense"),
    ],
)
def test_chains_that_make_no_sense_are_one_line(model: str, scale: float, words: str) -> None:
    with pytest.raises((OptionError, UnknownModelError), match=words):
        Upscaler(model, device="cpu").plan(10, 10, Target(scale=scale))


def test_restorers_alone_keep_the_size(restorer: Path) -> None:
    upscaler = Upscaler(f"{restorer}+{restorer}", device="cpu")
    assert upscaler.default_scale == 1
    with pytest.raises(OptionError, match="keeps the size: scale 2 is out of its reach"):
        upscaler.plan(10, 10, Target(scale=2))


def test_a_fingerprint_names_every_part(restorer: Path, enlarger: Path, tmp_path: Path) -> None:
    def of(*paths: Path) -> dict[str, Any]:
        upscaler = Upscaler("+".join(map(str, paths)), device="cpu")
        listener: Any = lambda _: None  # noqa: E731
        planner = Planner(
            Naming(None, None, None), PhotoOptions(), lambda: pytest.fail("no clip"), UpscalerOptions(), listener
        )
        return job_options(planner, upscaler, None)

    (tmp_path / "other").mkdir()
    other = checkpoint(tmp_path / "other/2x-large.safetensors", 2, seed=3)
    first = of(restorer, enlarger)
    assert first == of(restorer, enlarger)
    assert first["model"] == "1x-clean+2x-large"
    assert first != of(restorer, other)
    assert first != of(enlarger, restorer)


# Through the command line, as photo, clip, in bands


def test_photos_folders_and_names(run: Run, restorer: Path, tmp_path: Path, noise: Callable[..., Pixels]) -> None:
    folder = tmp_path / "pics"
    folder.mkdir()
    Image.fromarray(noise(16, 24, 3)).save(folder / "a.png")
    outcome = run(folder, "-o", tmp_path / "out/", "-m", f"{restorer}+espcn", "-s", 2)
    assert outcome.code == 0, outcome.err
    with Image.open(tmp_path / "out/a_2x.png") as made:
        assert made.size == (48, 32)
    assert run(folder / "a.png", "-m", f"{restorer}+espcn", "-s", 3, "-o", tmp_path / "{stem}_{model}.png").code == 0
    assert (tmp_path / "a_1x-clean-espcn.png").is_file()


def test_bands_are_the_whole(run: Run, restorer: Path, tmp_path: Path, noise: Callable[..., Pixels]) -> None:
    Image.fromarray(noise(96, 64, 3)).save(tmp_path / "a.png")
    model = f"{restorer}+{ESPCN}"
    lr = np.asarray(Image.open(tmp_path / "a.png"))
    upscaler = Upscaler(model, device="cpu", tile=16)
    plan = upscaler.plan(64, 96, Target(scale=2))
    rows = upscaler.rows(Frame(lr, "RGB"), plan)
    cut = np.concatenate([rows.read(top, top + 32).copy() for top in range(0, 192, 32)])
    assert run(tmp_path / "a.png", "-m", model, "-o", tmp_path / "b.png").code == 0
    whole = np.asarray(Image.open(tmp_path / "b.png"))
    assert np.abs(cut.astype(int) - whole.astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("name", "engine"),
    [("yuv420p", "torch"), ("yuv420p10le", "torch"), ("gbrp", "torch"), ("yuv420p", "openvino"),
     ("gbrp", "onnxruntime")],
)  # fmt: skip
def test_frames_of_a_clip_go_through_a_chain(restorer: Path, name: str, engine: str) -> None:
    pytest.importorskip(engine, reason=f"the extra [{engine}] is not installed")

    def frames(model: str) -> NDArray[Any]:
        upscaler = Upscaler(model, device="cpu", tile=24, engine=engine, precision="fp32")
        tags = ColourTags(matrix="bt709", range="tv")
        made = VideoUpscaler(upscaler, FORMATS[name], 48, 32, tags, Target(scale=4))
        rng = np.random.default_rng(0)
        codes = rng.integers(0, FORMATS[name].white + 1, FORMATS[name].frame_samples(48, 32))
        return made.collect(made.submit(codes.astype(FORMATS[name].dtype)))

    twice = frames(str(ESPCN)).astype(int)  # two passes of one net: each over the whole frame
    assert np.abs(frames(f"{ESPCN}+{ESPCN}").astype(int) - twice).max() <= 1
    assert np.abs(frames(f"{restorer}+{ESPCN}+{ESPCN}").astype(int) - twice).mean() > 1


# The text of -m


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("espcn", (Part(("espcn",)),)),
        ("R-ESRGAN 4x+", (Part(("R-ESRGAN 4x+",)),)),
        ("R-ESRGAN 4x++espcn", (Part(("R-ESRGAN 4x+",)), Part(("espcn",)))),
        ("espcn+R-ESRGAN 4x+ Anime6B", (Part(("espcn",)), Part(("R-ESRGAN 4x+ Anime6B",)))),
        (r"C:\nets\a.pth", (Part((r"C:\nets\a.pth",)),)),
        (r"C:\a.pth+D:\b.pth", (Part((r"C:\a.pth",)), Part((r"D:\b.pth",)))),
        (r"C:\a.pth:0.7,D:\b.pth:0.3", (Part((r"C:\a.pth", r"D:\b.pth"), (0.7, 0.3)),)),
        ("x.pth+a,1.pth:.25,b.pth:0.75", (Part(("x.pth",)), Part(("a,1.pth", "b.pth"), (0.25, 0.75)))),
        ("a.pth:0.333,b.pth:0.333,c.pth:0.333", (Part(("a.pth", "b.pth", "c.pth"), (0.333,) * 3),)),
    ],
)
def test_what_is_asked_for(given: str, parts: tuple[Part, ...]) -> None:
    assert asked(given) == parts


def test_a_plus_in_the_name_of_a_file_separates_nothing(tmp_path: Path, enlarger: Path) -> None:
    odd = checkpoint(tmp_path / "2x+fine.safetensors", 2)
    assert asked(str(odd)) == (Part((str(odd),)),)
    assert asked(f"{enlarger}+{odd}") == (Part((str(enlarger),)), Part((str(odd),)))
    assert Upscaler(f"{enlarger}+{odd}", device="cpu").only_scale == 4


def test_workers_get_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("espcn+a.pth:0.5,realesrgan:0.5") == f"espcn+{tmp_path / 'a.pth'}:0.5,realesrgan:0.5"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("a.pth:0.7,b.pth:0.7", "add up to 1.4, and have to add up to 1. Write a.pth:0.5,b.pth:0.5."),
        ("a.pth:0,b.pth:0", "add up to 0"),
        ("a.pth:0.7", "one checkpoint alone has no weight"),
        ("a.pth:x,b.pth:0.3", "not every weight in it is a number"),
        ("a.pth:0.3,b.pth:nan", "not every weight in it is a number"),
        ("a.pth:-1,b.pth:2", "not every weight in it is a number"),
    ],
)
def test_weights_that_make_no_sense_are_one_line(given: str, words: str) -> None:
    with pytest.raises(OptionError, match=re.escape(words)):
        asked(given)


# Nets between nets


def test_a_mix_lies_between_its_nets(tmp_path: Path, noise: Callable[..., Pixels]) -> None:
    paths = [checkpoint(tmp_path / f"{n}.safetensors", 2, seed=n) for n in range(3)]
    weights = (0.5, 0.3, 0.2)
    given = ",".join(f"{path}:{weight}" for path, weight in zip(paths, weights, strict=True))
    nets = [load_net(path) for path in paths]
    key = "body.2.weight"
    expected = sum(weight * net.state_dict[key].double() for net, weight in zip(nets, weights, strict=True))
    assert isinstance(expected, torch.Tensor)
    torch.testing.assert_close(mixed(nets, weights).state_dict[key].double(), expected, rtol=0, atol=1e-7)
    lr = noise(20, 20, 3)
    sr = np.asarray(Upscaler(given, device="cpu")(lr, 2))
    summed = {key: torch.stack([weight * net.state_dict[key] for net, weight in zip(nets, weights, strict=True)]).sum(0)
              for key in nets[0].state_dict}  # fmt: skip
    own = LoadedNet(nets[0].descriptor, summed)
    by_hand = picture_net(own)(torch.from_numpy(lr.transpose(2, 0, 1)[None] / np.float32(255)))
    by_hand = (by_hand.clamp(0, 1) * 255).round()[0].permute(1, 2, 0)
    assert np.abs(sr - by_hand.numpy()).max() <= 1
    assert Upscaler(given, device="cpu").name == "0-0.5_1-0.3_2-0.2"
    assert next(iter(Upscaler(given, device="cpu").identity()["checkpoints"].values())).startswith("0.5 * ")


def test_a_mix_can_be_part_of_a_chain(tmp_path: Path, restorer: Path, noise: Callable[..., Pixels]) -> None:
    a, b = (checkpoint(tmp_path / f"{n}.safetensors", 2, seed=n) for n in range(2))
    upscaler = Upscaler(f"{restorer}+{a}:0.25,{b}:0.75", device="cpu")
    assert upscaler.name == "1x-clean+0-0.25_1-0.75"
    assert np.asarray(upscaler(noise(12, 12, 3))).shape == (24, 24, 3)


def test_what_does_not_fit_is_one_line(tmp_path: Path, enlarger: Path) -> None:
    wider = checkpoint(tmp_path / "wide.safetensors", 2, width=8)
    with pytest.raises(CheckpointError, match=r"2x-large \(srvgg x2\) and wide \(srvgg x2\) cannot be blended"):
        Upscaler(f"{enlarger}:0.5,{wider}:0.5", device="cpu")
    other = checkpoint(tmp_path / "3x.safetensors", 3)
    with pytest.raises(CheckpointError, match="no scale in common"):
        Upscaler(f"{enlarger}:0.5,{other}:0.5", device="cpu")
    with pytest.raises(OptionError, match="needs a file in 8 bits"):
        Upscaler("espcn:0.5,espcn-robust:0.5", device="cpu", precision="int8", engine="openvino").net(4, 8)


def test_rows_of_the_registry_can_be_mixed() -> None:
    upscaler = Upscaler("espcn:0.5,espcn-robust:0.5", device="cpu")
    assert [upscaler.plan(9, 9, Target(scale=scale)).passes for scale in (2, 3, 4)] == [(2,), (3,), (4,)]
    assert len(rows_of("espcn")) == 3


def test_denoise_goes_to_the_part_that_takes_it(restorer: Path) -> None:
    with pytest.raises(OptionError, match=r"denoise= does not go with .*1x-clean.*\+espcn"):
        Upscaler(f"{restorer}+espcn", device="cpu", denoise=0.5)
