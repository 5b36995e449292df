"""What all tests stand on: no network, a cache folder of their own, and the shared weights where there are any."""

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from tests.clips import Clips
from tests.command import run as run
from upscale_cli.media.frame import Pixels

REPOSITORY = Path(__file__).resolve().parents[1]
settings.register_profile("no clock", deadline=None, derandomize=True)  # timed assertions do not belong in tests
settings.load_profile("no clock")
SHARED = REPOSITORY.parent / "shared"


@pytest.fixture(autouse=True)
def _on_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's cache, weights and settings play no part; whatever reaches for the network fails at once."""
    monkeypatch.setattr("upscale_cli.models.store.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("UPSCALE_WEIGHTS", raising=False)
    monkeypatch.delenv("UPSCALE_MIRROR", raising=False)
    monkeypatch.setenv("UPSCALE_OFFLINE", "1")


@pytest.fixture
def shared_weights(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of real checkpoints, on the search path."""
    folder = SHARED / "weights"
    if not folder.is_dir():
        pytest.skip("the shared folder with real checkpoints is not here")
    monkeypatch.setenv("UPSCALE_WEIGHTS", str(folder))
    return folder


@pytest.fixture
def sample_images() -> Path:
    """The folder of real pictures."""
    folder = SHARED / "samples/images"
    if not folder.is_dir():
        pytest.skip("the shared folder with sample pictures is not here")
    return folder


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    """Makes clips by name, each once."""
    return Clips(tmp_path_factory.getbasetemp() / "clips")


@pytest.fixture
def noise() -> Callable[..., Pixels]:
    """Makes random pixels of a shape and dtype, the same ones every time."""

    def make(*shape: int, dtype: type = np.uint8, seed: int = 0) -> Pixels:
        rng = np.random.default_rng(seed)
        if dtype is np.float32:
            return rng.random(shape, dtype=np.float32)
        return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)

    return make


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_arrives() -> None:
    """Shells start background jobs with SIGINT ignored, and programs started from there would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _few_threads() -> None:
    """Tests run side by side; each with all cores would only get in the others' way."""
    torch.set_num_threads(2)
