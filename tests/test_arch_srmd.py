"""SRMD and SRMDNF: agreement with the reference, recognition, codes of kernels, and the matrix that makes them."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests import arch_checks
from tests.conftest import SHARED
from tests.family import difference, golden
from upscale_cli import Upscaler, load_model
from upscale_cli.errors import CheckpointError
from upscale_cli.inference.blur_kernels import anisotropic, gaussian, resized
from upscale_cli.models import kernel_codes
from upscale_cli.models.archs.srmd import SRMD
from upscale_cli.models.kernel_codes import read
from upscale_cli.models.loading import load_net


def checkpoint(folder: Path, in_nc: int, nc: int = 8, nb: int = 4, upscale: int = 2) -> Path:
    """A made-up one, as the reference writes it: without the matrix."""
    torch.manual_seed(0)
    state_dict = SRMD(in_nc, nc, nb, upscale).state_dict()
    del state_dict["pca"]
    save_file(state_dict, folder / "net.safetensors")
    return folder / "net.safetensors"


def matrix_in(folder: Path) -> np.ndarray:
    """A made-up one, orthonormal, next to the checkpoint."""
    columns = np.linalg.qr(np.random.default_rng(0).normal(size=(225, 15)))[0]
    found = np.ascontiguousarray(columns.T.astype(np.float32))
    save_file({"P": torch.from_numpy(found)}, folder / "srmd-pca.safetensors")
    return found


@pytest.mark.parametrize("pair", ["pair1", "pair1_srmdnf_x3"])
def test_it_agrees_with_the_reference(pair: str) -> None:
    if not (SHARED / "goldens" / "srmd").is_dir():
        pytest.skip("needs the reference outputs in ../shared/goldens")
    worst, allowed, model = difference(golden("srmd", pair))
    assert worst <= allowed
    assert model.descriptor.name == ("srmdnf" if "nf" in pair else "srmd")


@pytest.mark.parametrize(("in_nc", "inputs"), [(19, ["kernel", "noise"]), (18, ["kernel"])])
@pytest.mark.parametrize(("nc", "nb", "upscale"), [(8, 3, 2), (12, 5, 3), (16, 4, 4)])
def test_widths_and_depths_come_from_the_shapes(
    tmp_path: Path, in_nc: int, inputs: list[str], nc: int, nb: int, upscale: int
) -> None:
    matrix_in(tmp_path)
    model = load_model(checkpoint(tmp_path, in_nc, nc, nb, upscale))
    assert [spec.name for spec in model.descriptor.inputs] == inputs
    assert (model.descriptor.scales, model.descriptor.halo) == ((upscale,), nb)
    lr, kernel = torch.rand(2, 3, 37, 45), torch.from_numpy(resized(gaussian(1.2), 15)).float()[None, None]
    rest = [torch.tensor([5.0])] if in_nc == 19 else []
    sr = model.net(lr, kernel, *rest)
    assert sr.shape == (2, 3, 37 * upscale, 45 * upscale)
    noise = {"noise": torch.tensor([5.0, 5.0])} if in_nc == 19 else {}
    each = model.net(lr=lr, kernel=kernel.expand(2, 1, 15, 15), **noise)
    torch.testing.assert_close(each, sr)


def test_codes_are_those_of_the_kernel_column_by_column(tmp_path: Path) -> None:
    """By what the first convolution sees: the matrix times the kernel, and the noise of white 1."""
    found = matrix_in(tmp_path)
    model = load_model(checkpoint(tmp_path, 19))
    seen: list[torch.Tensor] = []
    net = model.net.model
    assert isinstance(net, nn.Sequential)
    net[0].register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    kernel = resized(anisotropic(2.5, 0.8, 30), 15)
    model.net(torch.rand(1, 3, 9, 11), torch.from_numpy(kernel).float()[None, None], torch.tensor([51.0]))
    codes = seen[0][0, 3:, 4, 5]
    np.testing.assert_allclose(codes[:15], found @ kernel.flatten(order="F"), atol=1e-6)
    assert codes[15] == pytest.approx(0.2)
    assert not np.allclose(codes[:15], found @ kernel.flatten(), atol=1e-3)  # so the order of the pixels matters


def test_without_the_matrix_one_line_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = checkpoint(tmp_path, 19)
    monkeypatch.setenv("UPSCALE_OFFLINE", "1")
    monkeypatch.delenv("UPSCALE_WEIGHTS", raising=False)
    monkeypatch.setattr(kernel_codes, "cache_folder", lambda: tmp_path / "none")
    monkeypatch.setattr(kernel_codes, "weights_folders", lambda: [tmp_path / "none"])
    with pytest.raises(
        CheckpointError, match=r"net.safetensors: also needs srmd-pca.safetensors.*UPSCALE_WEIGHTS"
    ) as e:
        load_model(path)
    assert "\n" not in str(e.value)


def test_the_matrix_is_found_on_the_search_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = checkpoint(tmp_path, 18)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    found = matrix_in(elsewhere)
    monkeypatch.setenv("UPSCALE_WEIGHTS", str(elsewhere))
    np.testing.assert_array_equal(load_model(path).net.state_dict()["pca"].numpy(), found)


def test_a_file_of_matlab_is_read_as_scipy_writes_it(tmp_path: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    wanted = np.random.default_rng(1).normal(size=(15, 225))
    for name, compressed in (("plain.mat", False), ("small.mat", True)):
        scipy_io.savemat(tmp_path / name, {"title": "codes", "P": wanted}, do_compression=compressed)
        np.testing.assert_array_equal(read(tmp_path / name), wanted.astype(np.float32))


@pytest.mark.parametrize("data", [b"", b"no matrix at all" * 40, zlib.compress(b"x" * 300)])
def test_a_damaged_matrix_is_one_line(tmp_path: Path, data: bytes) -> None:
    for name in ("srmd_pca_matlab.mat", "srmd-pca.safetensors", "srmd-pca.npy"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(CheckpointError, match="holds no matrix of kernel codes"):
            read(tmp_path / name)


def test_a_matrix_of_another_shape_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "srmd-pca.npy", np.zeros((10, 225)))
    with pytest.raises(CheckpointError, match=r"shape \(10, 225\)"):
        read(tmp_path / "srmd-pca.npy")


@pytest.mark.parametrize("in_nc", [19, 18])
def test_it_runs_by_other_engines(tmp_path: Path, in_nc: int) -> None:
    """With a kernel and a noise level of its own for each picture of a batch."""
    matrix_in(tmp_path)
    net = load_net(checkpoint(tmp_path, in_nc))

    def given(lr: torch.Tensor) -> dict[str, torch.Tensor]:
        kernel = torch.rand(len(lr), 1, 15, 15) / 100
        return {"kernel": kernel} | ({"noise": 75 * torch.rand(len(lr))} if in_nc == 19 else {})

    arch_checks.runs_elsewhere(net, given)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_picture_goes_through_other_engines_as_through_torch(tmp_path: Path, engine: str) -> None:
    pytest.importorskip(engine, reason=f"the extra [{engine}] is not installed")
    matrix_in(tmp_path)
    path, lr = checkpoint(tmp_path, 19), arch_checks.picture(37, 45)

    def by(engine: str) -> np.ndarray:
        upscaler = Upscaler(
            path, engine=engine, device="cpu", precision="fp32", tile=20, kernel="aniso:2,0.8,30", noise=7
        )
        return upscaler(lr, scale=2).astype(int)

    assert np.abs(by(engine) - by("torch")).max() <= 1
