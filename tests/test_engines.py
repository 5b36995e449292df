"""Engines beside torch: the same pictures, chosen once, kept by a job that goes on."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.clips import Clips
from tests.command import Run
from tests.nets import CPU, Leveled, loaded, stub
from tests.test_frame_upscaler import TV, TWICE, random_frame
from upscale_cli import Upscaler
from upscale_cli.errors import DeviceError, OptionError
from upscale_cli.frames.image import Pixels
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.inference import engine_trial, engines, engines_here
from upscale_cli.inference.backends.base import Session
from upscale_cli.inference.backends.openvino import OpenVino, OpenVinoSession
from upscale_cli.inference.device import Device
from upscale_cli.inference.engines import Choice, choose, parsed
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.inference.video_upscaler import VideoUpscaler
from upscale_cli.jobs.fingerprint import ENGINES_KEY
from upscale_cli.models.archs.espcn import ESPCN
from upscale_cli.models.archs.rrdbnet import RRDBNet
from upscale_cli.models.archs.srvgg import SRVGGNetCompact
from upscale_cli.models.interface import InputSpec, LoadedNet, Precision

pytest.importorskip("openvino", reason="OpenVINO has no wheel for this machine")
pytestmark = pytest.mark.usefixtures("stubs")


@pytest.fixture(autouse=True)
def _no_other_rival(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else is installed plays no part."""
    monkeypatch.setattr(engines, "RIVALS", ("openvino",))


def nothing_said(text: str) -> None:
    raise AssertionError(f"unexpected: {text}")


def photo(height: int, width: int) -> Pixels:
    """(H, W, 3) uint8: edges, slopes and some grain, as photos have them."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:height, :width]
    waves = np.sin(x / 7.0 + np.sin(y / 11.0)) + np.sign(np.sin(x / 19.0) * np.cos(y / 13.0))
    picture = 128 + 45 * waves[:, :, None] * [1, 0.8, 0.6] + rng.normal(0, 4, (height, width, 3))
    return np.asarray(np.clip(picture, 0, 255).astype(np.uint8))


def decibels(one: Pixels, other: Pixels) -> float:
    difference = one.astype(np.float64) - other.astype(np.float64)
    return float(10 * np.log10(1 / max(1e-20, np.square(difference).mean())))


def net_of(kind: str) -> LoadedNet:
    torch.manual_seed(0)
    if kind == "espcn":
        return loaded(ESPCN(2))
    if kind == "srvgg":
        return loaded(SRVGGNetCompact(num_feat=8, num_conv=2))
    return loaded(RRDBNet(num_feat=8, num_block=1, num_grow_ch=4, unshuffle=2))


@pytest.mark.parametrize("requests", [1, 2])
@pytest.mark.parametrize("kind", ["espcn", "srvgg", "rrdbnet"])
def test_openvino_makes_the_picture_that_torch_makes_tile_by_tile(
    kind: str, requests: int, noise: Callable[..., Pixels]
) -> None:
    lr, net = noise(101, 58, 3), net_of(kind)
    expected = TiledNet(net, CPU, "fp32", tile=24, say=nothing_said).upscale(lr, np.uint8)
    there = TiledNet(net, CPU, "fp32", tile=24, backend=OpenVino(requests=requests), say=nothing_said)
    assert there.concurrency == (max(2, requests) if torch.get_num_threads() > 1 else requests)
    made = there.upscale(lr, np.uint8)
    assert np.abs(made.astype(int) - expected.astype(int)).max() <= 1
    there.share(3)  # three threads at a time, each with pictures of its own
    np.testing.assert_array_equal(there.upscale(lr, np.uint8), made)


@pytest.mark.parametrize("name", ["yuv420p", "gbrp", "yuva420p"])
def test_frames_in_flight_come_back_in_order(name: str) -> None:
    clip = [random_frame(name, 50, 38, seed=seed) for seed in range(5)]

    def made(backend: OpenVino | None) -> list[Any]:
        upscaler = Upscaler("espcn", device="cpu", precision="fp32", backend=backend)
        frames = VideoUpscaler(upscaler, FORMATS[name], 50, 38, TV, TWICE, say=nothing_said)
        assert frames.depth == (3 if backend else 0)
        return [frames.collect(future) for future in [frames.submit(frame) for frame in clip]]

    for one, other in zip(made(OpenVino(requests=2)), made(None), strict=True):
        assert np.abs(one.astype(int) - other.astype(int)).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("model", "scale"), [("espcn", 2), ("espcn-robust", 3), ("photo-lite", 4)])
def test_bf16_stays_above_50_db(model: str, scale: int) -> None:
    lr = photo(200, 260).astype(np.float32) / 255
    fp32 = Upscaler(model, device="cpu", engine="torch", precision="fp32")
    if "bf16" not in engines_here.precisions("openvino"):
        pytest.skip("this processor does not multiply bf16")
    net = TiledNet(fp32._model.net(scale), CPU, "bf16", scale=scale, backend=OpenVino(), say=nothing_said)
    assert decibels(net.upscale(lr, np.float32), np.asarray(fp32(lr, scale))) > 50


def test_inputs_beside_the_picture() -> None:
    torch.manual_seed(0)
    net = stub(Leveled, inputs=(InputSpec(name="noise_level"),), halo=1)
    given = {"noise_level": 0.5}
    lr = photo(40, 30)
    expected = TiledNet(net, CPU, "fp32", say=nothing_said, given=given).upscale(lr, np.uint8)
    made = TiledNet(net, CPU, "fp32", backend=OpenVino(), say=nothing_said, given=given).upscale(lr, np.uint8)
    assert np.abs(made.astype(int) - expected.astype(int)).max() <= 1


def test_few_shapes_are_kept_compiled() -> None:
    session = OpenVino().load(net_of("espcn"), CPU, "fp32")
    for width in range(16, 32):
        session.run(torch.zeros(1, 1, 20, width), {})
    assert len(session._begun) <= 4


# The choice


def test_fp32_is_tried_too_where_nobody_asked_for_half_precision() -> None:
    if "bf16" not in engines_here.precisions("openvino"):
        pytest.skip("this processor does not multiply bf16")
    net = net_of("espcn")
    found = [list(engines._ways(net, "openvino", "bf16", is_free=is_free)) for is_free in (True, False)]
    assert [{one.precision for one in each} for each in found] == [{"bf16", "fp32"}, {"bf16"}]


def test_windows_that_are_not_divided_get_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """An RRDBNet's picture of one window would be computed by one thread of two."""
    monkeypatch.setattr(engines, "callers", lambda _: iter((1, 2)))
    found = {kind: [one.requests for one in engines._ways(net_of(kind), "openvino", "fp32", is_free=False)]
             for kind in ("espcn", "rrdbnet")}  # fmt: skip
    assert found == {"espcn": [1, 2], "rrdbnet": [1]}


def fp32(_: str) -> Precision:
    return "fp32"


def choice_of(net: LoadedNet, wanted: str = "auto", said: list[str] | None = None) -> Choice:
    return choose(net, net.descriptor.only_scale or 1, CPU, wanted, fp32, (said if said is not None else []).append)


def test_the_fastest_is_taken_and_remembered(monkeypatch: pytest.MonkeyPatch) -> None:

    def paced(session: Session, _sample: object, callers: int) -> float:
        return 4.0 - callers if isinstance(session, OpenVinoSession) else 5.0

    monkeypatch.setattr(engine_trial, "paced", paced)
    monkeypatch.setattr(engines, "SLOW_COMPILE", math.inf)  # on a busy machine compiling may take long
    monkeypatch.setattr(engines_here, "cores", lambda: 2)
    net = net_of("espcn")
    first = choice_of(net)
    assert (first.engine, first.requests, first.seconds) == ("openvino", 2, 2.0)
    monkeypatch.setattr(engines, "_fastest", lambda *_, **__: pytest.fail("it was measured already"))
    assert choice_of(net) == first
    with pytest.raises(BaseException, match="measured already"):
        choice_of(net_of("srvgg"))  # another net


@pytest.mark.parametrize(("several", "taken"), [(1.1, 2), (1.3, 1)])
def test_several_windows_at_a_time_may_be_a_little_slower(
    several: float, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def paced(session: Session, _sample: object, callers: int) -> float:
        return (several if callers == 2 else 1.0) if isinstance(session, OpenVinoSession) else 5.0

    monkeypatch.setattr(engine_trial, "paced", paced)
    monkeypatch.setattr(engines, "SLOW_COMPILE", math.inf)
    monkeypatch.setattr(engines_here, "cores", lambda: 2)
    assert choice_of(net_of("espcn")).requests == taken


def test_torch_stays_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_trial, "paced", lambda session, *_: 2.0 if isinstance(session, OpenVinoSession) else 1.0)
    assert choice_of(net_of("espcn")).engine == "torch"
    assert choice_of(net_of("espcn"), "openvino").engine == "openvino"  # who asks for it gets it


@pytest.mark.parametrize(("by_torch", "taken"), [(1.0, "openvino"), (0.8, "torch")])
def test_another_is_taken_only_where_that_shows_from_file_to_file(
    by_torch: float, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        engine_trial, "paced", lambda session, *_: 1.05 if isinstance(session, OpenVinoSession) else by_torch
    )
    monkeypatch.setattr(engines, "RIVALS", ("openvino",))
    assert choice_of(net_of("espcn")).engine == taken


def test_what_disturbs_a_run_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: dict[Session, int] = {}

    def disturbed(session: Session, *_: object) -> float:
        """The first two runs of OpenVINO's take twice as long as they should."""
        runs[session] = runs.get(session, 0) + 1
        own = 0.01 if isinstance(session, OpenVinoSession) else 0.015
        return 2 * own if isinstance(session, OpenVinoSession) and runs[session] <= 2 else own

    monkeypatch.setattr(engine_trial, "paced", disturbed)
    monkeypatch.setattr(engine_trial, "RACE_SECONDS", math.inf)  # nothing here depends on the clock
    monkeypatch.setattr(engines, "RIVALS", ("openvino",))
    choice = choice_of(net_of("espcn"))
    assert (choice.engine, choice.seconds) == ("openvino", 0.01)
    assert set(runs.values()) == {engine_trial.RUNS}


@pytest.mark.parametrize(("slow", "most", "runs"), [(4.0, math.inf, 1), (2.0, math.inf, 5), (2.0, 0.0, 1)])
def test_who_is_far_behind_or_out_of_time_runs_once(
    slow: float, most: float, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    contenders = [engine_trial.Contender(cast(Session, object()), "fp32", seconds=seconds) for seconds in (1.0, slow)]
    ran = [1, 1]

    def paced(session: Session, *_: object) -> float:
        (place,) = (place for place, one in enumerate(contenders) if one.session is session)
        ran[place] += 1
        return contenders[place].seconds

    monkeypatch.setattr(engine_trial, "paced", paced)
    monkeypatch.setattr(engine_trial, "RACE_SECONDS", most)
    engine_trial.race(contenders, engine_trial.Sample(torch.zeros(1), {}))
    assert ran == [5 if most else 1, runs]


def test_what_is_remembered_and_damaged_is_measured_again() -> None:
    net = net_of("espcn")
    first = choice_of(net)
    (kept,) = engines.folder().iterdir()
    for text in ("", "{}", json.dumps({"choice": {"engine": "warp drive", "version": "", "precision": "fp32"}})):
        kept.write_text(text)
        assert replace(choice_of(net), seconds=None, requests=1).precision == first.precision


class Deciding(nn.Module):
    """Does what the picture's size tells it to."""

    def forward(self, lr: Tensor) -> Tensor:
        repeated = lr.repeat_interleave(2, -1).repeat_interleave(2, -2)
        return repeated if lr.shape[-1] > 4 else repeated * 0.5


def test_a_net_that_openvino_cannot_run_is_left_to_torch() -> None:
    net = stub(Deciding)
    assert choice_of(net).engine == "torch"
    with pytest.raises(OptionError, match="cannot run made-up"):
        choice_of(net, "openvino")


def test_an_engine_that_gives_something_else_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    run = OpenVinoSession.run
    monkeypatch.setattr(OpenVinoSession, "run", lambda *given: run(*given) * 1.1)
    assert choice_of(net_of("espcn")).engine == "torch"
    with pytest.raises(OptionError, match="something else than the plain net does"):
        choice_of(net_of("espcn"), "openvino")


def test_without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "is_installed", lambda engine: engine == "torch")
    assert choice_of(net_of("espcn")) == Choice("torch", "", "fp32")
    with pytest.raises(OptionError, match="is not installed here"):
        choice_of(net_of("espcn"), "openvino")


def test_what_cannot_be() -> None:
    net = net_of("espcn")
    with pytest.raises(OptionError, match="does not run on cuda"):
        choose(net, 2, Device("cuda:0"), "openvino", fp32, nothing_said)
    with pytest.raises(OptionError, match="is not known"):
        Upscaler("espcn", engine="warp")


def test_the_environment_stands_in_for_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSCALE_ENGINE", "OpenVINO")
    assert Upscaler("espcn", device="cpu").engines.choice(2, 8).engine == "openvino"
    assert Upscaler("espcn", device="cpu", engine="torch").engines.choice(2, 8).engine == "torch"
    monkeypatch.setenv("UPSCALE_ENGINE", "warp")
    with pytest.raises(OptionError, match="UPSCALE_ENGINE=warp is not known"):
        Upscaler("espcn", device="cpu")


@pytest.mark.parametrize("label", ["torch fp32", "openvino 2026.4.1 bf16"])
def test_labels_are_understood(label: str) -> None:
    choice = parsed(label)
    assert choice is not None
    assert choice.label == label
    assert parsed("warp 9 fp32") is None


def test_deep_pictures_are_computed_in_fp32_by_the_same_engine() -> None:
    upscaler = Upscaler("espcn", device="cpu", engine="openvino")
    assert (upscaler.engines.choice(2, 16).engine, upscaler.engines.choice(2, 16).precision) == ("openvino", "fp32")


# Jobs that go on


def test_a_job_keeps_the_engine_that_it_was_begun_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSCALE_ENGINE", "auto")
    label = Upscaler("espcn", device="cpu", engine="openvino", precision="fp32").engines.labels([2])
    assert label["2"].startswith("openvino ")
    for kept, engine in ((label, "openvino"), ({}, "torch")):
        upscaler = Upscaler("espcn", device="cpu", precision="fp32")
        assert upscaler.engines.keep(kept, [2]) is None
        assert upscaler.engines.choice(2, 8).engine == engine
    gone = "openvino 1999.1 fp32"
    assert Upscaler("espcn", device="cpu").engines.keep({"2": gone}, [2]) == gone
    chosen = Upscaler("espcn", device="cpu", engine="torch")  # who asks for one gets it
    assert chosen.engines.keep(label, [2]) is None
    assert chosen.engines.choice(2, 8).engine == "torch"


@pytest.mark.slow
def test_a_clip_goes_on_with_its_engine_or_begins_anew(
    clips: Clips, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from upscale_cli.files.work_folder import JOB_FILE
    from upscale_cli.jobs import video_resume

    monkeypatch.delenv("UPSCALE_ENGINE")
    source, output = clips("plain"), tmp_path / "out.mp4"
    work = tmp_path / "out.mp4.work"
    command = (source, "-m", "espcn", "-o", output, "--resume", "--preset", "ultrafast")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def halt(engine: str) -> dict[str, Any]:
        with monkeypatch.context() as patch:
            patch.setattr(video_resume, "_join", interrupt)
            patch.setenv("UPSCALE_ENGINE", engine)
            assert run(*command).code == 130
        return dict(json.loads((work / JOB_FILE).read_text()))

    assert halt("openvino")[ENGINES_KEY]["2"].startswith("openvino ")
    monkeypatch.setattr(engines, "_fastest", lambda *given, **_: given[3])  # torch would be the choice now
    outcome = run(*command)
    assert outcome.code == 0, outcome.err
    assert "going on after frame" in outcome.err + outcome.out

    output.unlink()
    job = halt("openvino")
    job[ENGINES_KEY] = {"2": "openvino 1999.1 fp32"}
    (work / JOB_FILE).write_text(json.dumps(job))
    outcome = run(*command)
    assert outcome.code == 0, outcome.err
    assert "was begun with openvino 1999.1 fp32" in " ".join((outcome.err + outcome.out).split())
    assert not work.exists()


def test_an_engine_that_cannot_load_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(OpenVino, "load", full)
    with pytest.raises(DeviceError, match="out of memory"):
        TiledNet(net_of("espcn"), CPU, "fp32", backend=OpenVino(), say=nothing_said)


def test_a_picture_by_the_command_line(tmp_path: Path, run: Run) -> None:
    from PIL import Image

    Image.fromarray(photo(40, 60)).save(tmp_path / "a.png")
    outcome = run(
        tmp_path / "a.png", "-m", "espcn", "-s", 2, "--engine", "openvino", "--json", "-o", tmp_path / "b.png"
    )
    assert outcome.code == 0, outcome.err
    started = next(json.loads(line) for line in outcome.out.splitlines() if '"started"' in line)
    assert started["engine"] == "openvino"
    plain = Upscaler("espcn", device="cpu", engine="torch")(photo(40, 60), target=Target(scale=2))
    with Image.open(tmp_path / "b.png") as made:
        assert decibels(np.asarray(made) / 255, plain / 255) > 45
    outcome = run(tmp_path / "a.png", "--engine", "warp")
    assert outcome.code == 2
    assert "Choose one of auto, torch, openvino" in " ".join(outcome.err.split())


def test_a_segment_is_made_by_what_its_clip_was_begun_with(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from upscale_cli.jobs.video_segments import _keep_engines

    monkeypatch.setenv("UPSCALE_ENGINE", "auto")
    began = Upscaler("espcn", device="cpu", engine="openvino", precision="fp32").engines.labels([2])
    for labels, engine in ((began, "openvino"), ({}, "torch")):
        job: Any = SimpleNamespace(name="a.mp4, segment 1", lr_size=(20, 10), target=TWICE, engines=labels)
        worker = Upscaler("espcn", device="cpu", precision="fp32")
        _keep_engines(job, worker)
        assert worker.engines.choice(2, 8).engine == engine
    job = SimpleNamespace(
        name="a.mp4, segment 1", lr_size=(20, 10), target=TWICE, engines={"2": "openvino 1999.1 fp32"}
    )
    with pytest.raises(DeviceError, match=r"by openvino 1999\.1 fp32 where the run began. Install the same"):
        _keep_engines(job, Upscaler("espcn", device="cpu", precision="fp32"))
    with pytest.raises(DeviceError, match="by torch on this worker"):
        _keep_engines(job, Upscaler("espcn", device="cpu", engine="torch", precision="fp32"))


def test_openvino_keeps_the_order_of_channels() -> None:
    """OpenVINO 2026.4.1 by itself convolves channels that a Gather permutes in another order."""
    from onnx import TensorProto, helper, numpy_helper

    from upscale_cli.inference.backends import openvino

    rng = np.random.default_rng(0)
    order, weights = np.arange(12).reshape(4, 3).T.ravel(), rng.standard_normal((5, 12, 1, 1)).astype(np.float32)
    picture = rng.random((1, 12, 6, 7), dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["lr", "order"], ["by"], axis=1), helper.make_node("Conv", ["by", "w"], ["sr"])],
        "permuted", [helper.make_tensor_value_info("lr", TensorProto.FLOAT, [1, 12, "h", "w_"])],
        [helper.make_tensor_value_info("sr", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(order, "order"), numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString()
    sr = OpenVinoSession(openvino.read(data), "CPU", "fp32", 1, 1).infer({"lr": picture})
    expected = np.einsum("oc,nchw->nohw", weights[:, :, 0, 0], picture[:, order])
    np.testing.assert_allclose(sr, expected, atol=1e-4)


def test_a_picture_of_one_window_is_divided_among_those_in_flight(noise: Callable[..., Pixels]) -> None:
    net = net_of("espcn")
    alone = TiledNet(net, CPU, "fp32", say=nothing_said)
    two = TiledNet(net, CPU, "fp32", backend=OpenVino(requests=2), say=nothing_said)
    assert (alone.tile_count(300, 400), two.tile_count(300, 400), two.tile_count(100, 100)) == (1, 2, 1)
    lr = noise(300, 400, 3)
    assert np.abs(two.upscale(lr, np.uint8).astype(int) - alone.upscale(lr, np.uint8).astype(int)).max() <= 1
    two.share(3)  # pictures of three threads: each is whole
    assert two.tile_count(300, 400) == 1


def test_a_picture_no_larger_than_the_largest_window_is_one() -> None:
    """Larger ones go in windows of 512 where the halo is small."""
    net, memory = net_of("espcn"), 2**30
    alone = TiledNet(net, CPU, "fp32", memory=memory, say=nothing_said)
    two = TiledNet(net, CPU, "fp32", memory=memory, backend=OpenVino(requests=2), say=nothing_said)
    assert (alone.tile_count(540, 960), two.tile_count(540, 960), alone.tile_count(1100, 960)) == (1, 2, 6)
    alone.limit_memory(2**26)
    assert alone.tile_count(540, 960) > 4


def _streams(session: Any) -> list[int]:
    return [begun._compiled.get_property("NUM_STREAMS") for begun in session._begun.values()]


def test_a_picture_that_is_not_divided_has_all_threads(noise: Callable[..., Pixels]) -> None:
    """A net of 14 layers looks so far around a pixel that two windows would read a tenth of such a picture twice."""
    deep = loaded(SRVGGNetCompact(num_feat=8, num_conv=12))
    two = TiledNet(deep, CPU, "fp32", backend=OpenVino(requests=2), say=nothing_said)
    assert (two.tile_count(260, 256), two.tile_count(600, 256)) == (1, 2)
    sessions = two._sessions[0]
    shared, alone = (sessions.load("fp32", alone=alone) for alone in (False, True))
    two.upscale(noise(260, 256, 3).astype(np.float32), np.float32)
    assert (_streams(shared), _streams(alone)) == ([], [1])
    two.upscale(noise(600, 256, 3).astype(np.float32), np.float32)
    assert (_streams(shared), _streams(alone)) == ([2], [1])
    two.share(2)  # two threads, each with a picture and its share
    two.upscale(noise(260, 256, 3).astype(np.float32), np.float32)
    assert (_streams(shared), _streams(alone)) == ([2, 2], [1])


def test_a_chain_that_has_one_window_gives_each_of_its_nets_all_threads() -> None:
    """`ChainSession.alone` makes its links anew: sessions and what brings pictures to them."""
    from upscale_cli.inference.chain_session import ArrayChainSession, Link
    from upscale_cli.inference.host_color import HostColorAdapter

    net = net_of("espcn")
    session = OpenVino(requests=2).load(net, CPU, "fp32")
    through = HostColorAdapter(net.descriptor, session, 2)
    chain = ArrayChainSession([Link(net.descriptor, 2, 1, session, through)], lambda array: array, HostColorAdapter)
    alone = chain.alone()
    assert (chain.requests, alone.requests) == (2, 1)
    lr = np.random.default_rng(0).random((1, 3, 20, 30), dtype=np.float32)
    np.testing.assert_allclose(alone.through(lr, {}, "display"), chain.through(lr, {}, "display"), atol=1e-5)
    assert (_streams(session), _streams(session.alone())) == ([2], [1])
