"""What all tests stand on: no network, a cache folder of their own, and the shared weights where there are any.

Nothing heavy is imported here: of several processes (`-n`), the one that only distributes tests needs none of it.
"""

import gc
import itertools
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browsers import browser as browser
from tests.command import piped as piped
from tests.command import run as run

if TYPE_CHECKING:
    from tests.clips import Clips
    from tests.stores import Bucket, Store
    from upscale_cli.frames.image import Pixels

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"
NUMBERS = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    """Before anything is collected."""
    # Compiling this package and the tests anew in each of the many programs started from here would take much of
    # the time. A machine set up to write no bytecode (containers often are) gets what git ignores anyway.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the program has it, for the programs started from here too
    if "PYTEST_XDIST_WORKER" in os.environ:  # tests run side by side, one on each core
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    if config.getoption("dist", "no") == "no":
        from hypothesis import HealthCheck, settings

        # Nothing that is timed belongs in tests, nor whether examples come quickly.
        slow = [HealthCheck.too_slow]
        settings.register_profile("no clock", deadline=None, derandomize=True, suppress_health_check=slow)
        settings.load_profile("no clock")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`: one more than there are cores; the tests of a Ray cluster, which share one, mostly wait."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What a file makes once for several of its tests (a service, clips, nets) is made by one process, not by each.

    `--dist loadgroup` begins with the largest groups and ends with single tests, so that none waits for another.
    """
    if config.getoption("loadgroup", False):  # known where tests run side by side
        for item in items:
            has_group = item.get_closest_marker("xdist_group") is not None
            if isinstance(item, pytest.Function) and not has_group and shares_something(item):
                item.add_marker(pytest.mark.xdist_group(item.path.stem))


def shares_something(item: pytest.Function) -> bool:
    """Whether a test has a fixture that its file makes once: of its own, or made anew for each file."""
    used = [definitions[-1] for definitions in item._fixtureinfo.name2fixturedefs.values()]
    return any(
        fixture.scope == "module" or (fixture.scope != "function" and fixture.baseid.endswith(".py"))
        for fixture in used
    )


def pytest_collection_finish() -> None:
    """What the imports have made stays to the end: to look through it at every collection would take most of it."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """What was set aside goes as it would have gone: OpenImageIO counts what is left of it, and prints that."""
    gc.unfreeze()


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of the test's own, gone after it: those of all tests would be gigabytes. Where it failed, it stays.

    No other test of this process gets that name, for what is remembered of a file is remembered by its path.
    """
    name = re.sub(r"\W", "_", request.node.name)[:30]
    folder = tmp_path_factory.mktemp(f"{name}_{next(NUMBERS)}", numbered=False)
    failed = request.session.testsfailed
    yield folder
    if request.session.testsfailed == failed:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _on_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The user's cache, weights, settings and programs play no part; whatever reaches for the network fails at once."""
    users = tmp_path.with_name(f"{tmp_path.name}-user")
    users.mkdir()
    monkeypatch.setattr("upscale_cli.models.store.cache_folder", lambda: users / "cache")
    monkeypatch.setattr("upscale_cli.models.settings.user_settings", lambda: users / "settings")
    monkeypatch.setattr("upscale_cli.models.other_programs.home", lambda: users / "home")
    for name in ("COMFYUI_PATH", "SD_MODELSDIR", "APPDATA", "LOCALAPPDATA", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("UPSCALE_WEIGHTS", raising=False)
    monkeypatch.delenv("UPSCALE_MIRROR", raising=False)
    monkeypatch.setenv("UPSCALE_OFFLINE", "1")
    # Which engine is fastest here is nothing that tests may depend on; those of the others name them.
    monkeypatch.setenv("UPSCALE_ENGINE", "torch")
    yield
    shutil.rmtree(users, ignore_errors=True)


@pytest.fixture(autouse=True)
def free_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Says how many bytes are free on every disk. Until a test does, there is room for all: how full the disk is here
    is nothing that tests may depend on."""

    def state(free: int) -> None:
        usage = type("Usage", (), {"free": free})
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    state(10**15)
    return state


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
def clips(tmp_path_factory: pytest.TempPathFactory) -> "Clips":
    """Makes clips by name, each once for all processes."""
    from tests.clips import Clips

    own = tmp_path_factory.getbasetemp()
    return Clips(own / "clips", (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "clips")


@pytest.fixture
def noise() -> "Callable[..., Pixels]":
    """Makes random pixels of a shape and dtype, the same ones every time."""
    import numpy as np

    def make(*shape: int, dtype: type = np.uint8, seed: int = 0) -> "Pixels":
        rng = np.random.default_rng(seed)
        if dtype is np.float32:
            return rng.random(shape, dtype=np.float32)
        return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)

    return make


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the time of a test there is an architecture more, by the line in the table that any other has."""
    from tests.nets import MADE_UP
    from upscale_cli.models.archs import ARCHS

    monkeypatch.setitem(ARCHS, MADE_UP.name, "tests.nets:MADE_UP")


@pytest.fixture(scope="session")
def server() -> "Iterator[Store]":
    """An S3 server for all tests that want one."""
    pytest.importorskip("s3fs", reason="the extra [s3] is not installed")
    pytest.importorskip("moto.moto_server.werkzeug_app", reason="moto[server] is not installed")
    from tests.stores import Store

    with Store() as store:
        yield store


@pytest.fixture
def store(server: "Store", monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "Store":
    """The server, as its user finds it. What fails is tried again at once, and scratch folders are the test's own."""
    from tests.stores import ENVIRONMENT
    from upscale_cli.files import object_access

    server.reset()
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(object_access, "PAUSES", (0.0, 0.0))
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return server


@pytest.fixture
def bucket(store: "Store") -> "Bucket":
    """A new one."""
    made = store.bucket(f"bucket-{secrets.token_hex(6)}")
    store.reset()
    return made


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_arrives() -> None:
    """Shells start background jobs with SIGINT ignored, and programs started from there would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _signals_are_given_back() -> Iterator[None]:
    """Whatever a test runs leaves Ctrl-C to the next one as it has found it."""
    before = signal.getsignal(signal.SIGINT)
    yield
    left = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)
    assert left == before
