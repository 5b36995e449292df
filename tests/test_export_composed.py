"""Chains and mixes as files, and as `models info` shows them: what runtimes make of a file is what `-m` makes of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from tests.command import Run
from tests.nets import picture_net
from tests.test_chains import ESPCN, checkpoint
from tests.test_export import by_runtime, made_up
from upscale_cli import Upscaler, export_model
from upscale_cli.errors import CheckpointError, OptionError, OutputError
from upscale_cli.frames.image import Frame
from upscale_cli.models.archs.srmd import CODES, KERNEL_SIDE, SRMD
from upscale_cli.models.chain import descriptor_of
from upscale_cli.models.loading import build_net, load_net


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One net of each kind of colours, and one that takes a kernel and noise."""
    folder = tmp_path_factory.mktemp("composed")
    torch.manual_seed(0)
    matrix = torch.linalg.qr(torch.randn(KERNEL_SIDE**2, CODES))[0].T.contiguous()
    save_file({**SRMD(19, 8, 3, 2).state_dict(), "pca": matrix}, folder / "srmd.safetensors")
    return {
        "clean": checkpoint(folder / "1x-clean.safetensors", 1, seed=1),
        "large": checkpoint(folder / "2x-large.safetensors", 2, seed=2),
        "other": checkpoint(folder / "2x-other.safetensors", 2, seed=3),
        "studio": made_up(folder, "espcn-tanh"),
        "ycbcr": made_up(folder, "espcn-ycbcr"),
        "luma": ESPCN,
        "srmd": folder / "srmd.safetensors",
    }


def pictures(channels: int) -> NDArray[np.float32]:
    """Two at a time, of odd sides."""
    rng = np.random.default_rng(5)
    return 0.2 + 0.6 * rng.random((2, channels, 19, 26), dtype=np.float32)


def one_after_the_other(paths: list[Path], lr: NDArray[np.float32]) -> NDArray[np.float32]:
    """By the nets themselves, each in its own colours, as `-m` brings pictures into them."""
    picture = torch.from_numpy(lr)
    for path in paths:
        picture = picture_net(load_net(path))(picture)
    return picture.numpy()


# The same answers


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [("clean", "large"), ("clean", "luma", "large"), ("large", "studio"), ("ycbcr", "luma"), ("luma", "luma"),
     ("studio", "luma")],
    ids="+".join,
)  # fmt: skip
def test_a_chain_is_one_graph_of_the_same_answers(
    names: tuple[str, ...], files: dict[str, Path], tmp_path: Path
) -> None:
    paths = [files[name] for name in names]
    made = export_model("+".join(map(str, paths)), tmp_path / "chain.onnx", scale=None)
    is_luma = set(names) <= {"luma", "studio"}
    lr = pictures(1 if is_luma else 3)
    expected = one_after_the_other(paths, lr)
    assert made.inputs == ("input",)
    answer = by_runtime("onnxruntime", made.output, {"input": lr})
    assert answer.shape == expected.shape
    np.testing.assert_allclose(answer, expected, atol=2e-5)
    if "luma" in names:
        np.testing.assert_allclose(by_runtime("openvino", made.output, {"input": lr}), expected, atol=2e-5)
    facts = {prop.key: prop.value for prop in onnx.load(made.output).metadata_props}
    nets = [load_net(path).descriptor for path in paths]
    whole = descriptor_of([(net, net.only_scale or 0) for net in nets])
    assert facts["scale"] == str(expected.shape[2] // 19)
    assert int(facts["halo"]) == whole.halo > sum(net.halo for net in nets[:1])
    assert facts["colour"] == ("luma" if is_luma else "rgb")
    assert facts["arch"] == "+".join(net.name for net in nets)


@pytest.mark.slow
def test_the_file_does_for_m_what_the_chain_does(files: dict[str, Path], tmp_path: Path) -> None:
    """Tiled, too: the halo in the file is enough."""
    given = f"{files['clean']}+{files['luma']}"
    made = export_model(given, tmp_path / "chain.onnx")
    lr = np.random.default_rng(1).integers(40, 216, (37, 45, 3), dtype=np.uint8)

    def by(model: str, **options: Any) -> NDArray[Any]:
        upscaler = Upscaler(model, device="cpu", precision="fp32", **options)
        return upscaler.upscale(Frame(lr, "RGB"), upscaler.plan(45, 37, upscaler.target(2))).pixels.astype(int)

    whole = by(given, engine="torch")
    assert np.abs(by(str(made.output), tile=16, engine="onnxruntime") - whole).max() <= 1


def test_what_a_net_of_it_wants_is_wanted_of_the_chain(files: dict[str, Path], tmp_path: Path) -> None:
    """It needs no kernel to be written; who runs it gives one with each picture."""
    made = export_model(f"{files['clean']}+{files['srmd']}", tmp_path / "chain.onnx")
    assert made.inputs == ("input", "kernel", "noise")
    lr = pictures(3)
    rng = np.random.default_rng(2)
    kernel = rng.random((2, 1, KERNEL_SIDE, KERNEL_SIDE), dtype=np.float32) / np.float32(KERNEL_SIDE**2)
    noise = np.array([0.0, 9.0], np.float32)
    answer = by_runtime("onnxruntime", made.output, {"input": lr, "kernel": kernel, "noise": noise})
    cleaned = torch.from_numpy(one_after_the_other([files["clean"]], lr))
    srmd = build_net(load_net(files["srmd"]))
    expected = srmd(cleaned, kernel=torch.from_numpy(kernel), noise=torch.from_numpy(noise)).numpy()
    np.testing.assert_allclose(answer, expected, atol=1e-4 * np.ptp(expected))


def test_a_mix_is_written_as_the_net_it_is(files: dict[str, Path], tmp_path: Path) -> None:
    given = f"{files['large']}:0.7,{files['other']}:0.3"
    first, second = (load_file(files[name]) for name in ("large", "other"))
    made = export_model(given, tmp_path / "mix.safetensors")
    written = load_file(made.output)
    assert set(written) == set(first)
    for key, value in first.items():
        torch.testing.assert_close(written[key], 0.7 * value + 0.3 * second[key])
    graph = export_model(given, tmp_path / "mix.onnx")
    lr = pictures(3)
    expected = one_after_the_other([made.output], lr)
    np.testing.assert_allclose(by_runtime("onnxruntime", graph.output, {"input": lr}), expected, atol=2e-5)


def test_files_have_names_of_their_own_and_say_whose_they_are(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = export_model(f"{files['studio']}+espcn", scale=6)
    assert made.output == Path("espcn-tanh-espcn-x6.onnx")
    facts = {prop.key: prop.value for prop in onnx.load(made.output).metadata_props}
    assert facts["licence"].startswith("MIT, of the test + MIT")
    assert len(facts["weights_sha256"].split(" + ")) == 2
    assert facts["model"] == "espcn-tanh+espcn"


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        ("{clean}+{large}", {"scale": 3}, r"scale=3: 1x-clean\+2x-large is not x3 in one pass, but x4"),
        ("{clean}+bicubic", {}, "bicubic is no net"),
        ("{clean}+{large}", {"format": "safetensors"}, "is a chain, and a checkpoint holds one net"),
        ("{clean}+{luma}", {"format": "mpv"}, "cannot be written as a shader: it works on rgb"),
        ("{large}:0.5,{clean}:0.5", {}, "cannot be blended: they have no scale in common"),
        ("{clean}+{luma}", {"denoise": 0.5}, "denoise=0.5|denoise"),
    ],
)
def test_what_cannot_be_is_one_line(
    given: str, options: dict[str, Any], words: str, files: dict[str, Path], tmp_path: Path,
) -> None:  # fmt: skip
    with pytest.raises((OptionError, OutputError, CheckpointError), match=words) as raised:
        export_model(given.format(**files), tmp_path / "out", **options)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_an_onnx_file_is_no_part_of_one(files: dict[str, Path], tmp_path: Path) -> None:
    export_model(files["large"], tmp_path / "net.onnx")
    with pytest.raises(OutputError, match="came as an ONNX file, which is no part of a chain"):
        export_model(f"{files['clean']}+{tmp_path / 'net.onnx'}", tmp_path / "chain.onnx")


# As people see them


def test_info_shows_what_the_nets_are_together(run: Run, files: dict[str, Path]) -> None:
    given = f"{files['clean']}+{files['srmd']}+espcn"
    shown = run("models", "info", given)
    assert shown.code == 0, shown.err
    assert "chain of 3 nets, one after the other: x4" in shown.out
    assert "srvgg+srmd+espcn" in shown.out
    assert "kernel, noise" in shown.out
    facts = json.loads(run("models", "info", given, "--json").out)
    assert (facts["kind"], facts["scale"], facts["colour"]) == ("chain", 4, "rgb")
    assert [part["scale"] for part in facts["parts"]] == [1, 2, 2]
    assert facts["halo"] > load_net(files["clean"]).descriptor.halo
    weights = sum(tensor.numel() for name in ("clean", "srmd", "luma") for tensor in load_file(files[name]).values())
    assert facts["parameters"] == weights


def test_info_of_a_mix_has_its_weights(run: Run, files: dict[str, Path]) -> None:
    given = f"{files['large']}:0.7,{files['other']}:0.3"
    assert "weight 0.7" in run("models", "info", given).out
    facts = json.loads(run("models", "info", given, "--json").out)
    assert (facts["kind"], facts["scale"]) == ("mix", 2)
    assert [part["weight"] for part in facts["parts"]] == [0.7, 0.3]


def test_to_be_told_is_no_reason_to_fetch(run: Run, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UPSCALE_WEIGHTS", "UPSCALE_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UPSCALE_OFFLINE", "1")
    monkeypatch.setattr("upscale_cli.cli.composed_report.locate", lambda _: None)
    told = run("models", "info", f"{files['clean']}+realesrgan")
    assert told.code != 0
    assert "realesrgan: is not on this machine. Get it with `upscale models fetch realesrgan`" in told.line
