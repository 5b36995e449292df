"""USRNet: agreement with the reference, its data step against the problem that it solves, what it makes of borders."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.command import Run
from tests.family import Pair, difference, further, golden
from upscale_cli import load_model
from upscale_cli.inference.blur_kernels import anisotropic
from upscale_cli.models.archs.usrnet import Padded, USRNet, continued, data_step, placed

TINY = {"n_iter": 2, "h_nc": 8, "in_nc": 4, "out_nc": 3, "nc": (8, 12, 16, 16), "nb": 1}


def made(**changed: object) -> USRNet:
    torch.manual_seed(0)
    return USRNet(**{**TINY, **changed}).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("pair", [golden("usrnet"), further("usrnet-tiny-cator1")], ids=["made", "trained"])
def test_it_agrees_with_the_reference(pair: Pair) -> None:
    if not pair.file.is_file():
        pytest.skip("needs the reference outputs in ../shared")
    worst, allowed, model = difference(pair)
    assert worst <= allowed
    assert model.descriptor.sees_whole


@pytest.mark.parametrize("changed", [{}, {"n_iter": 3, "nb": 2}, {"nc": (4, 4, 8, 8), "h_nc": 16}])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_widths_and_depths_come_from_the_shapes(tmp_path: Path, changed: dict[str, object], scale: int) -> None:
    net = made(**changed)
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    model = load_model(tmp_path / "net.safetensors")
    assert model.descriptor.config == {**TINY, **changed}
    kernel = torch.from_numpy(anisotropic(1.5, 0.7, 20)).float()[None, None]
    lr = torch.rand(2, 3, 19, 22)
    with torch.inference_mode():
        sr = model.net(lr, kernel, torch.tensor([scale]), torch.full((1, 1, 1, 1), 0.02))
        again = model.net(lr=lr, kernel=kernel.expand(2, *kernel.shape[1:]), scale=torch.tensor([scale, scale]),
                          sigma=torch.tensor([0.02, 0.02]))  # fmt: skip
    assert sr.shape == (2, 3, 19 * scale, 22 * scale)
    torch.testing.assert_close(again, sr, rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_its_data_step_solves_the_least_squares_problem(scale: int) -> None:
    """Against the normal equations, written as matrices: |S K x - y|^2 + alpha |x - z|^2."""
    random = np.random.default_rng(0)
    height, width, alpha = 6 * scale, 4 * scale, 0.3
    kernel, lr, start = random.random((3, 5)), random.random((6, 4)), random.random((height, width))
    blur = np.zeros((height * width, height * width))
    for at in range(height * width):
        y, x = divmod(at, width)
        for dy in range(3):
            for dx in range(5):
                blur[at, (y - dy + 1) % height * width + (x - dx + 2) % width] += kernel[dy, dx]
    taken = blur.reshape(height, width, -1)[::scale, ::scale].reshape(lr.size, -1)
    system = taken.T @ taken + alpha * np.eye(height * width)
    wanted = np.linalg.solve(system, taken.T @ lr.ravel() + alpha * start.ravel()).reshape(height, width)

    response = torch.fft.fft2(placed(torch.from_numpy(kernel)[None, None], (height, width)))
    apart = torch.zeros(1, 1, height, width, dtype=torch.float64)
    apart[..., ::scale, ::scale] = torch.from_numpy(lr)
    given = response.conj() * torch.fft.fft2(apart)
    ours = data_step(
        torch.from_numpy(start)[None, None],
        response,
        given,
        torch.full((1, 1, 1, 1), alpha, dtype=torch.float64),
        scale,
    )
    np.testing.assert_allclose(ours[0, 0], wanted, atol=1e-10)


def test_a_kernel_larger_than_the_picture_wraps_round() -> None:
    kernel = torch.rand(1, 1, 7, 9)
    small = placed(kernel, (4, 6))
    large = placed(kernel, (16, 18))
    torch.testing.assert_close(small, large.reshape(1, 1, 4, 4, 3, 6).sum(dim=(2, 4)))


@pytest.mark.parametrize(("length", "count"), [(20, 8), (5, 16), (1, 9)])
def test_a_picture_goes_on_smoothly_until_it_begins_anew(length: int, count: int) -> None:
    ramp = torch.linspace(0, 1, length).reshape(1, 1, 1, length)
    longer = continued(ramp, -1, count)[0, 0, 0]
    assert longer.shape == (length + count,)
    torch.testing.assert_close(longer[:length], ramp[0, 0, 0])
    steps = (longer - longer.roll(1)).abs()
    assert steps.max() <= 3.2 / count + 1 / max(length - 1, 1)  # no step as a jump from 1 to 0 would be


def test_what_is_on_one_border_does_not_show_on_the_other() -> None:
    """As far as the padded net goes; the bare one is a torus, as its reference is."""
    net = made()
    kernel = torch.from_numpy(anisotropic(2, 2, 0)).float()[None, None]
    lr = torch.full((1, 3, 24, 30), 0.5)
    other = lr.clone()
    other[..., :2] = 1.0
    rest = kernel, torch.tensor([2]), torch.tensor([0.01])
    with torch.inference_mode():
        torus = (net(other, *rest) - net(lr, *rest))[..., -4:].abs().max()
        padded = Padded(net)
        ends = (padded(other, *rest) - padded(lr, *rest))[..., -4:].abs().max()
    assert ends < torus / 20


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_is_refused_in_one_line(tmp_path: Path, run: Run, precision: str) -> None:
    save_file(made().state_dict(), tmp_path / "net.safetensors")
    Image.fromarray(np.zeros((20, 24, 3), np.uint8)).save(tmp_path / "a.png")
    outcome = run(tmp_path / "a.png", "-m", tmp_path / "net.safetensors", "-s", 2, "--kernel", "gauss:1",
                  "--precision", precision)  # fmt: skip
    assert outcome.code == 2
    assert f"--precision {precision} does not go with" in outcome.line
    assert not (tmp_path / "a_2x.png").exists()
