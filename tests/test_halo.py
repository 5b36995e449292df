"""What is read around a tile: by the net, or as asked for; enough of it on real weights and hard texture."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.command import Run
from tests.conftest import SHARED
from tests.nets import CPU, loaded
from upscale_cli import Upscaler
from upscale_cli.errors import OptionError
from upscale_cli.evaluation.metrics import psnr
from upscale_cli.frames.image import Pixels
from upscale_cli.inference.tile_layout import DEFAULT_OVERLAP, geometry_of
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.models.archs.rrdbnet import RRDBNet
from upscale_cli.models.archs.srvgg import SRVGGNetCompact
from upscale_cli.models.interface import LoadedNet
from upscale_cli.models.loading import load_net

WHOLE = 10_000
REAL = SHARED / "weights-more"
TEXTURE = SHARED / "eval/B100/86016.png"  # gravel in raked lines: of all pictures tried, it shows a cut from furthest


def tiled(net: LoadedNet, lr: Pixels, **options: Any) -> Pixels:
    return TiledNet(net, CPU, "fp32", say=pytest.fail, **options).upscale(lr, np.float32)


def test_the_halo_that_is_asked_for_is_taken() -> None:
    net = loaded(SRVGGNetCompact(num_feat=4, num_conv=6)).descriptor
    assert (geometry_of(net, 4, 0, None).halo, geometry_of(net, 4, 0, None).overlap) == (8, 0)
    assert (geometry_of(net, 4, 0, None, 20).halo, geometry_of(net, 4, 0, None, 20).overlap) == (20, 0)
    nearer = geometry_of(net, 4, 0, None, 5)
    assert (nearer.halo, nearer.overlap) == (5, DEFAULT_OVERLAP), "no longer the whole field: tiles have to blend"


def test_a_halo_of_the_whole_field_makes_tiles_equal_the_whole(noise: Callable[..., Pixels]) -> None:
    torch.manual_seed(0)
    net = loaded(RRDBNet(num_feat=8, num_block=2, num_grow_ch=4))
    for parameter in net.state_dict.values():
        parameter.mul_(2)  # so that far pixels count
    lr = noise(20, 190, 3)
    whole = tiled(net, lr, tile=WHOLE)
    spread = whole.std()
    covering, touching = (tiled(net, lr, tile=32, overlap=0, halo=halo) for halo in (34, 4))
    assert np.abs(covering - whole).max() < 1e-4 * spread
    assert np.abs(touching - whole).max() > 1e-3 * spread


def test_a_changed_halo_is_another_job_and_an_unchanged_one_the_same(tmp_path: Path) -> None:
    assert "halo" not in Upscaler("espcn").identity()
    assert Upscaler("espcn", halo=12).identity()["halo"] == 12
    file = tmp_path / "net.pth"
    torch.save(RRDBNet(num_feat=4, num_block=1, num_grow_ch=4).state_dict(), file)
    assert "40" in str(Upscaler(file).identity()["halo"]), "it was 16 once: rows of such a run are not gone on with"
    assert Upscaler(file, halo=16).identity()["halo"] == 16


@pytest.mark.parametrize("halo", [-1, 513])
def test_a_halo_that_is_none_is_refused(run: Run, tmp_path: Path, halo: int) -> None:
    with pytest.raises(OptionError, match=rf"halo {halo} is out of range\. Choose halo= from 0 to 512"):
        Upscaler("espcn", halo=halo)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    done = run(tmp_path / "a.png", "-m", "espcn", "--halo", halo)
    assert done.code == 2
    assert f"halo {halo} is out of range. Choose --halo from 0 to 512 pixels" in done.line


def test_the_command_line_hands_it_on(run: Run, tmp_path: Path, noise: Callable[..., Pixels]) -> None:
    """Of a net whose tiles are cut at each of its three convolutions; 3 pixels are too few, 4 are enough."""
    lr = noise(24, 60, 3)
    Image.fromarray(lr).save(tmp_path / "a.png")

    def made(*options: object) -> Pixels:
        out = tmp_path / "out.png"
        assert run(tmp_path / "a.png", "-m", "espcn", "-s", 2, "-o", out, "--overwrite", *options).code == 0
        return np.asarray(Image.open(out)).astype(int)

    whole = made("-t", 64)
    nearer, enough = (made("-t", 16, "--overlap", 0, "--halo", halo) for halo in (3, 4))
    assert np.abs(enough - whole).max() <= 1
    assert np.abs(nearer - whole).max() > 1


@pytest.mark.slow
@pytest.mark.skipif(not (REAL.is_dir() and TEXTURE.is_file()), reason="the shared folder with weights is not here")
def test_the_default_stays_above_50_db_on_hard_texture() -> None:
    net = load_net(REAL / "RealESRGAN_x4plus_anime_6B.safetensors")
    lr = np.asarray(Image.open(TEXTURE).convert("RGB"))[120:184, 100:280]
    whole = tiled(net, lr, tile=WHOLE)
    of_default, of_former = (tiled(net, lr, tile=64, halo=halo) for halo in (None, 16))
    assert psnr(as_levels(of_default), as_levels(whole)) > 50
    assert psnr(as_levels(of_former), as_levels(whole)) < 50


def as_levels(sr: Pixels) -> Pixels:
    """Of 8 bits."""
    return np.asarray(np.rint(sr.clip(0, 1) * 255).astype(np.uint8))
