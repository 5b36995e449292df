"""LPIPS, DISTS and ARNIQA: where their weights come from, and what reaches the nets.

No trained weights are here. Those of these tests are seeded: they show the way there, and no figure of the metrics.
"""

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from upscale_cli.errors import CheckpointError, OptionError
from upscale_cli.evaluation.perceptual import WEIGHTS, PerceptualMetric, perceptual


@pytest.fixture(autouse=True)
def nothing_cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    perceptual.cache_clear()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.delenv("UPSCALE_WEIGHTS", raising=False)
    yield
    perceptual.cache_clear()


@pytest.fixture
def torchvision() -> Any:
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
    try:
        import torchvision
    except (ImportError, RuntimeError):
        pytest.skip("torchvision is not installed, or not for this torch")
    return torchvision


def pictures() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    hr = random.integers(0, 256, (64, 72, 3), dtype=np.uint8)
    return np.clip(hr + random.normal(0, 20, hr.shape), 0, 255).astype(np.uint8), hr


@pytest.mark.parametrize("metric", WEIGHTS)
def test_what_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch, metric: PerceptualMetric) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(OptionError, match=rf"metrics='{metric}' needs .* pip install 'upscale-cli\[quality\]'"):
        perceptual(metric)


@pytest.mark.parametrize("metric", WEIGHTS)
def test_weights_that_are_missing_are_named_with_where_to_get_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, metric: PerceptualMetric
) -> None:
    monkeypatch.setattr("upscale_cli.evaluation.perceptual._maker", lambda _: None)
    with pytest.raises(CheckpointError) as raised:
        perceptual(metric)
    first = WEIGHTS[metric][0]
    assert str(tmp_path / "torch" / "hub" / "checkpoints" / first.name) in str(raised.value)
    assert str(raised.value).endswith(f"or in a folder of UPSCALE_WEIGHTS. Download them from {first.url}")


@pytest.mark.parametrize("content", [b"nothing", pickle.dumps(print, protocol=2)], ids=["no weights", "code"])
@pytest.mark.parametrize("metric", ["dists", "arniqa"])
def test_weights_that_could_run_code_or_are_none_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, metric: PerceptualMetric, content: bytes
) -> None:
    monkeypatch.setattr("upscale_cli.evaluation.perceptual._maker", lambda _: pytest.fail)
    monkeypatch.setenv("UPSCALE_WEIGHTS", str(tmp_path))
    for weights in WEIGHTS[metric]:
        (tmp_path / weights.name).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"holds no weights of .* that can be read safely"):
        perceptual(metric)


@pytest.mark.slow
def test_dists_compares_with_the_weights_that_a_folder_holds(
    torchvision: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    torch.save(torchvision.models.vgg16(weights=None).state_dict(), tmp_path / "vgg16-397923af.pth")
    monkeypatch.setenv("UPSCALE_WEIGHTS", str(tmp_path))
    before = torch.hub.get_dir()
    dists, (sr, hr) = perceptual("dists"), pictures()
    assert torch.hub.get_dir() == before
    assert dists(hr, hr) == pytest.approx(0, abs=1e-5)
    assert dists(sr, hr) > 1e-3
    gray = hr[:, :, :1]
    assert dists(gray, np.repeat(gray, 3, axis=2)) == pytest.approx(0, abs=1e-5)


class Regressor(torch.nn.Module):
    """As ARNIQA's authors save theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(torch.randn(1, 4096))
        self.biases = torch.nn.Parameter(torch.tensor(40.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weights.T + self.biases


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # TorchScript is on its way out, and ARNIQA's authors use it
def test_arniqa_looks_at_one_picture_with_the_weights_that_a_folder_holds(
    torchvision: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(*list(torchvision.models.resnet50(weights=None).children())[:-1])
    torch.save({f"model.{key}": value for key, value in encoder.state_dict().items()}, tmp_path / "ARNIQA.pth")
    script: Any = torch.jit.script(Regressor())
    script.save(str(tmp_path / "regressor_koniq10k.pth"))
    monkeypatch.setenv("UPSCALE_WEIGHTS", str(tmp_path))
    arniqa, (sr, hr) = perceptual("arniqa"), pictures()
    assert arniqa(sr, hr) == arniqa(sr, sr)
    assert arniqa(sr, hr) != arniqa(hr, hr)
