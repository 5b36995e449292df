"""Checkpoint files: what is recognised, what is refused, and that nothing a file brings is ever run."""

import contextlib
import io
import json
import os
import pickle
import re
import struct
import sys
import types
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.nets import loaded as net_of
from upscale_cli.errors import CheckpointError, printable
from upscale_cli.models.archs.espcn import ESPCN, Layer
from upscale_cli.models.archs.rrdbnet import RRDBNet
from upscale_cli.models.archs.srvgg import SRVGGNetCompact
from upscale_cli.models.interface import SidecarMetadata
from upscale_cli.models.loading import build_net, load_net, load_spec, load_state_dict, recognise
from upscale_cli.models.mixing import interpolate
from upscale_cli.models.plugins import architecture
from upscale_cli.models.registry import MODELS
from upscale_cli.models.store import Found, bundled_folder

StateDict = dict[str, Tensor]
SHARED_WEIGHTS = Path(__file__).parents[2] / "shared" / "weights"

needs_shared_weights = pytest.mark.skipif(not SHARED_WEIGHTS.is_dir(), reason="needs ../shared/weights")


@pytest.fixture(autouse=True)
def same_weights_every_time_on_one_core() -> Iterator[None]:
    """Nets this small spend their time waiting for other cores, seconds of it where those are busy."""
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(net: nn.Module, channels: int, height: int = 12, width: int = 16) -> Tensor:
    lr = torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        out: Tensor = net(lr)
    return out


def saved(contents: object, path: Path, **options: Any) -> Path:
    torch.save(contents, path, **options)
    return path


def first_esrgan_keys(state_dict: Mapping[str, Tensor]) -> StateDict:
    """As https://github.com/xinntao/ESRGAN names them."""
    names = (
        (r"^body\.(\d+)\.rdb(\d)\.", r"RRDB_trunk.\1.RDB\2."),
        (r"^conv_body\.", "trunk_conv."),
        (r"^conv_up(\d)\.", r"upconv\1."),
        (r"^conv_hr\.", "HRconv."),
    )
    out = {}
    for key, tensor in state_dict.items():
        for pattern, name in names:
            key = re.sub(pattern, name, key)
        out[key] = tensor
    return out


def oldest_esrgan_keys(state_dict: Mapping[str, Tensor]) -> StateDict:
    """As ESRGAN's training code numbered them: by their place in one nn.Sequential, activations counted."""
    num_block = len({key.split(".")[1] for key in state_dict if key.startswith("body.")})
    num_up = sum(1 for key in state_dict if re.match(r"conv_up\d\.weight", key))
    hr = 2 + 3 * num_up  # after model.0, model.1 and (upsample, convolution, activation) for each doubling
    names = {"conv_first": "model.0", "conv_body": f"model.1.sub.{num_block}", "conv_hr": f"model.{hr}"}
    names |= {f"conv_up{number}": f"model.{3 * number}" for number in range(1, num_up + 1)}
    names["conv_last"] = f"model.{hr + 2}"
    out = {}
    for key, tensor in state_dict.items():
        stem, _, part = key.rpartition(".")
        block = re.sub(r"^body\.(\d+)\.rdb(\d)\.conv(\d)$", r"model.1.sub.\1.RDB\2.conv\3.0", stem)
        out[f"{names.get(stem, block)}.{part}"] = tensor
    return out


def under_module(state_dict: Mapping[str, Tensor]) -> StateDict:
    return {f"module.{key}": tensor for key, tensor in state_dict.items()}


RRDBNETS = {
    "x4": (RRDBNet(num_feat=8, num_block=2, num_grow_ch=4), 4, 1),
    "x4 wide and deep": (RRDBNet(num_feat=12, num_block=11, num_grow_ch=6), 4, 1),
    "x2 unshuffled": (RRDBNet(num_feat=8, num_block=1, num_grow_ch=4, unshuffle=2), 2, 2),
    "x1 unshuffled": (RRDBNet(num_feat=8, num_block=1, num_grow_ch=4, unshuffle=4), 1, 4),
    "x1": (RRDBNet(num_feat=8, num_block=1, num_grow_ch=4, num_up=0), 1, 1),
    "x2": (RRDBNet(num_feat=8, num_block=1, num_grow_ch=4, num_up=1), 2, 1),
    "x8": (RRDBNet(num_feat=8, num_block=1, num_grow_ch=4, num_up=3), 8, 1),
    "x4 grey": (RRDBNet(num_in_ch=1, num_feat=8, num_block=1, num_grow_ch=4), 4, 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RRDBNETS)
@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda weights: {"params_ema": weights}, id="params_ema"),
        pytest.param(lambda weights: {"params": weights}, id="params"),
        pytest.param(lambda weights: {"params_ema": under_module(weights)}, id="params_ema and module."),
        pytest.param(lambda weights: weights, id="unwrapped"),
        pytest.param(under_module, id="module."),
        pytest.param(first_esrgan_keys, id="first ESRGAN"),
        pytest.param(oldest_esrgan_keys, id="oldest ESRGAN"),
    ],
)
def test_rrdbnet_is_known_under_all_its_keys(tmp_path: Path, name: str, wrap: Callable[[StateDict], object]) -> None:
    net, scale, multiple_of = RRDBNETS[name]
    loaded = load_net(saved(wrap(net.state_dict()), tmp_path / "net.pth"))
    facts = loaded.descriptor
    assert (facts.arch, facts.scales, facts.multiple_of) == ("rrdbnet", (scale,), multiple_of)
    channels = 1 if "grey" in name else 3
    assert (facts.channels, facts.colour) == (channels, "rgb" if channels == 3 else "luma")
    torch.testing.assert_close(run(build_net(loaded), channels), run(net, channels), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("num_conv", "num_feat", "upscale"), [(0, 8, 4), (1, 8, 2), (5, 16, 3), (16, 24, 4), (2, 8, 1)]
)
@pytest.mark.parametrize("act_type", ["prelu", "relu", "leakyrelu"])
def test_srvgg_of_any_depth_is_known(tmp_path: Path, num_conv: int, num_feat: int, upscale: int, act_type: Any) -> None:
    net = SRVGGNetCompact(num_feat=num_feat, num_conv=num_conv, upscale=upscale, act_type=act_type)
    if act_type == "leakyrelu":
        (tmp_path / "net.json").write_text('{"activation": "LeakyReLU"}')
    reported: list[str] = []
    loaded = load_net(saved({"params": net.state_dict()}, tmp_path / "net.pth"), say=reported.append)
    facts = loaded.descriptor
    assert (facts.arch, facts.scales, facts.halo, facts.colour) == ("srvgg", (upscale,), num_conv + 2, "rgb")
    assert [re.search("activation relu", line) is not None for line in reported] == [True] * (act_type == "relu")
    torch.testing.assert_close(run(build_net(loaded), 3), run(net, 3), rtol=0, atol=0)


ESPCN_LAYOUTS = {
    "conv1": ["conv1", "conv2", "conv3"],
    "conv_1": ["conv_1", "conv_2", "conv_3"],
    "first_part": ["first_part.0", "first_part.2", "last_part.0"],
    "feature_maps": ["feature_maps.0", "feature_maps.2", "sub_pixel.0"],
    "sequential": ["0", "2", "4"],
    "body": ["body.0", "body.2", "body.4"],
}


@pytest.mark.parametrize("layout", ESPCN_LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_espcn_is_known_in_the_usual_layouts(tmp_path: Path, layout: str, channels: int, scale: int) -> None:
    net = ESPCN(scale, hidden=(Layer(channels, 64, 5), Layer(64, 32, 3)))
    names = dict(zip(["conv1", "conv2", "conv3"], ESPCN_LAYOUTS[layout], strict=True))
    weights = {f"{names[key[:5]]}{key[5:]}": tensor for key, tensor in net.state_dict().items()}
    reported: list[str] = []
    loaded = load_net(saved(weights, tmp_path / "net.pth"), say=reported.append)
    facts = loaded.descriptor
    assert (facts.arch, facts.scales, facts.channels, facts.halo) == ("espcn", (scale,), channels, 4)
    assert (facts.colour, facts.luma_range) == (("luma", "full") if channels == 1 else ("ycbcr", "studio"))
    torch.testing.assert_close(run(build_net(loaded), channels), run(net, channels), rtol=0, atol=0)
    (line,) = reported
    assert "activation tanh" in line
    assert "luma range" in line
    assert "net.json can state it" in line


def test_a_card_beside_the_file_goes_before_its_metadata(tmp_path: Path) -> None:
    net = ESPCN(2, activation="relu", final_activation="tanh")
    metadata = {"activation": "relu", "luma_range": "studio", "colour": "luma", "final_activation": "tanh"}
    save_file(net.state_dict(), tmp_path / "net.safetensors", metadata=metadata)
    reported: list[str] = []
    loaded = load_net(tmp_path / "net.safetensors", say=reported.append)
    assert loaded.descriptor.luma_range == "studio"
    torch.testing.assert_close(run(build_net(loaded), 1), run(net, 1), rtol=0, atol=0)
    (tmp_path / "net.json").write_bytes(b"\xef\xbb\xbf" + json.dumps({"luma_range": "full"}).encode())
    assert load_net(tmp_path / "net.safetensors", say=reported.append).descriptor.luma_range == "full"
    assert reported == []


@pytest.mark.parametrize("text", ["", "{", "\udcff", '{"a": ' * 100_000])
def test_a_card_that_is_no_json_is_not_guessed_past(tmp_path: Path, text: str) -> None:
    path = saved(ESPCN(2).state_dict(), tmp_path / "net.pth")
    (tmp_path / "net.json").write_text(text, errors="surrogateescape")
    with pytest.raises(CheckpointError, match=r"net\.json: is not JSON"):
        load_net(path)


@pytest.mark.parametrize("text", ["[]", "3", '{"arch": "x", "input": null}', '{"activation": {"a": []}}'])
def test_sidecar_metadata_about_something_else_are_ignored(tmp_path: Path, text: str) -> None:
    path = saved(ESPCN(2).state_dict(), tmp_path / "net.pth")
    (tmp_path / "net.json").write_text(text)
    assert load_state_dict(path)[1] == SidecarMetadata()


SMALL = SRVGGNetCompact(num_feat=8, num_conv=1).state_dict()


@pytest.mark.parametrize("ending", [".pth", ".pt", ".ckpt", ".safetensors", ""])
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_file_is_known_by_its_contents_whatever_its_ending(tmp_path: Path, form: str, ending: str) -> None:
    path = tmp_path / f"net{ending}"
    if form == "safetensors":
        save_file(SMALL, path)
    else:
        torch.save({"params": SMALL}, path, _use_new_zipfile_serialization=form == "zip")
    loaded, sidecar = load_state_dict(path)
    assert sidecar == SidecarMetadata()
    assert list(loaded) == list(SMALL) or set(loaded) == set(SMALL)
    for key, tensor in SMALL.items():
        torch.testing.assert_close(loaded[key], tensor, rtol=0, atol=0)


@pytest.mark.parametrize(
    "contents",
    [
        pytest.param({"params_ema": SMALL, "params": {"x": torch.zeros(1)}}, id="averaged weights go first"),
        pytest.param(
            {"epoch": 3, "state_dict": SMALL, "optimizer": {"state": {}, "groups": [1]}}, id="trainer's state"
        ),
        pytest.param({"model": {"params": under_module(SMALL)}}, id="wrapped twice"),
        pytest.param({"generator": SMALL, "discriminator": {"x": torch.zeros(1)}}, id="GAN"),
        pytest.param({"any name": SMALL}, id="a wrapper of another name"),
        pytest.param(dict([*SMALL.items(), ("epoch", 3), ("loss", 0.5), (7, "seven")]), id="other things among them"),
        pytest.param({f"_orig_mod.module.{key}": tensor for key, tensor in SMALL.items()}, id="compiled"),
        pytest.param({"n_averaged": torch.tensor(5), **under_module(SMALL)}, id="AveragedModel"),
        pytest.param(
            {"state_dict": {f"netG.{k}": v for k, v in SMALL.items()} | {"netD.x": torch.ones(1)}}, id="one GAN module"
        ),
        pytest.param({key: nn.Parameter(tensor) for key, tensor in SMALL.items()}, id="parameters"),
    ],
)
def test_what_trainers_wrap_around_the_weights_is_taken_off(tmp_path: Path, contents: object) -> None:
    loaded, _ = load_state_dict(saved(contents, tmp_path / "net.pth"))
    assert set(loaded) == set(SMALL)
    assert not any(tensor.requires_grad for tensor in loaded.values())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_weights_come_as_float32(tmp_path: Path, dtype: torch.dtype, ending: str) -> None:
    weights = {key: tensor.to(dtype) for key, tensor in SMALL.items()}
    path = tmp_path / f"net{ending}"
    save_file(weights, path) if ending == ".safetensors" else torch.save(weights, path)
    loaded, _ = load_state_dict(path)
    for key, tensor in weights.items():
        torch.testing.assert_close(loaded[key], tensor.float(), rtol=0, atol=0)


def test_the_file_may_go_once_it_is_loaded(tmp_path: Path) -> None:
    net = SRVGGNetCompact(num_feat=8, num_conv=1)
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    loaded = load_net(tmp_path / "net.safetensors")
    (tmp_path / "net.safetensors").write_bytes(b"")
    torch.testing.assert_close(run(build_net(loaded), 3), run(net, 3), rtol=0, atol=0)


def test_a_loaded_net_is_ready_to_run(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    net = build_net(load_net(saved(SMALL, tmp_path / "net.pth")))
    assert not net.training
    assert all(
        weight.device.type == "cpu" and weight.dtype == torch.float32 and not weight.requires_grad
        for weight in net.parameters()
    )
    assert torch.equal(torch.get_rng_state(), before)  # no random weights were made to be thrown away


# What is no checkpoint ------------------------------------------------------------------------------------------------


class Trap:
    """Unpickled by anything but a safe loader, it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (str(self.mark), "w")


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        load_net(path)
    text = str(error.value)
    assert text.startswith(printable(str(path)))
    assert text.isprintable()
    return text


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda trap, path: torch.save({"params": {"w": trap}}, path), id="zip"),
        pytest.param(lambda trap, path: torch.save(trap, path, pickle_protocol=4), id="zip, protocol 4"),
        pytest.param(lambda trap, path: torch.save([trap], path, _use_new_zipfile_serialization=False), id="legacy"),
        pytest.param(lambda trap, path: path.write_bytes(pickle.dumps(trap)), id="plain pickle"),
        pytest.param(lambda trap, path: path.write_bytes(pickle.dumps(trap, protocol=0)), id="pickle, protocol 0"),
        pytest.param(lambda trap, path: path.write_bytes(pickle.dumps(trap, protocol=2)), id="pickle, protocol 2"),
    ],
)
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_code_in_a_checkpoint_is_refused_and_never_run(
    tmp_path: Path, write: Callable[[Trap, Path], object], ending: str
) -> None:
    mark, path = tmp_path / "it ran", tmp_path / f"net{ending}"
    write(Trap(mark), path)
    text = refusal(path)
    assert not mark.exists()
    assert re.search("refused|no checkpoint|without running code", text)


def test_a_whole_module_is_refused_by_name(tmp_path: Path) -> None:
    text = refusal(saved(nn.Conv2d(1, 1, 1), tmp_path / "net.pth"))
    assert "torch.nn.modules.conv.Conv2d" in text
    assert "state_dict" in text


def zip_of(**entries: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(f"net/{name.replace('_', '.')}", data)
    return file.getvalue()


def in_memory(contents: object, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(contents, file, **options)
    return file.getvalue()


def safetensors_of(header: object, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


WHOLE_ZIP = in_memory(SMALL)
WHOLE_LEGACY = in_memory(SMALL, _use_new_zipfile_serialization=False)
LYING = {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 16]}
GAPLESS = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
ITSELF: dict[str, object] = {}
ITSELF["state_dict"] = ITSELF


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"hello", "is no checkpoint", id="text"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(100), "is no checkpoint", id="picture"),
        pytest.param(b"\n <!DOCTYPE HTML><title>404", "is a web page", id="web page"),
        pytest.param(b"<html><body>Not Found", "is a web page", id="web page without doctype"),
        pytest.param(b'<?xml version="1.0"?>\n<net name="net" version="11">', "is a graph for OpenVINO", id="OpenVINO"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer", id="Git LFS"),
        pytest.param(WHOLE_ZIP[: len(WHOLE_ZIP) // 2], "cut off or damaged", id="cut zip"),
        pytest.param(WHOLE_ZIP[:-1], "cut off or damaged", id="zip without its last byte"),
        pytest.param(WHOLE_LEGACY[: len(WHOLE_LEGACY) // 2], "damaged", id="cut legacy"),
        pytest.param(WHOLE_LEGACY[:-1], "damaged", id="legacy without its last byte"),
        pytest.param(WHOLE_LEGACY.replace(b"K\x48", b"J\x00\x00\x00\x40"), "damaged", id="legacy with a lying size"),
        pytest.param(b"\x80", "plain pickle", id="one byte of a pickle"),
        pytest.param(zip_of(notes_txt=b"hi"), "is a zip archive, but no checkpoint", id="zip of something else"),
        pytest.param(zip_of(data_pkl=b"", constants_pkl=b""), "TorchScript", id="TorchScript"),
        pytest.param(zip_of(data_pkl=bytes(1 << 20)), "claims to hold more than the file has", id="zip bomb"),
        pytest.param(safetensors_of({"a": LYING}, bytes(16)), "damaged safetensors", id="lying shape"),
        pytest.param(safetensors_of({"a": GAPLESS}, bytes(8)), "damaged safetensors", id="cut safetensors"),
        pytest.param(safetensors_of({"a": {}}, bytes(8)), "damaged safetensors", id="safetensors without facts"),
        pytest.param(struct.pack("<Q", 1 << 60) + b"{}", "damaged safetensors", id="lying header length"),
        pytest.param(struct.pack("<Q", 2) + b"{}", "holds no weights", id="safetensors of nothing"),
        pytest.param(in_memory({}), "holds no weights", id="empty dict"),
        pytest.param(in_memory(ITSELF), "holds no weights", id="a dict that holds itself"),
        pytest.param(in_memory([1, 2]), "holds a list", id="list"),
        pytest.param(in_memory(torch.zeros(3)), "holds a Tensor", id="one tensor"),
        pytest.param(
            in_memory({"w": torch.zeros(1).expand(10**7, 10**7)}), "than the file has bytes for", id="stride 0"
        ),
        pytest.param(in_memory({"w": torch.zeros(3).to_sparse()}), "not supported", id="sparse"),
        pytest.param(in_memory({"w": torch.zeros(3, device="meta")}), "not supported", id="without values"),
        pytest.param(in_memory({**SMALL, "body.0.bias": torch.full((8,), torch.nan)}), "NaN or infinite", id="NaN"),
        pytest.param(
            in_memory({**SMALL, "body.0.bias": torch.full((8,), 1e300, dtype=torch.float64)}),
            "infinite",
            id="too large",
        ),
    ],
)
@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
def test_what_is_no_checkpoint_is_refused_for_what_it_is(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert reason in refusal(path)


@pytest.mark.parametrize(
    "name", ["none.pth", "a b 'c\" ü.pth", "-x.pth", "\udcff.pth", "no/such/folder.pth", "x" * 300]
)
def test_a_missing_file_is_said_whatever_its_name(tmp_path: Path, name: str) -> None:
    text = refusal(tmp_path / name)
    assert "no such file" in text or "cannot be read" in text


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    assert "no file can have this name" in refusal(tmp_path / "a\0b.pth")
    assert "is a folder" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["a b 'c\" ü ${x} %s {y}.pth", "two\nlines.pth", "-x.pth", ".pth", "Ü\u0308.ckpt"])
@pytest.mark.parametrize("form", ["zip", "safetensors"])
def test_odd_names_are_no_hindrance(tmp_path: Path, name: str, form: str) -> None:
    path = tmp_path / name
    try:
        path.write_bytes(b"")
    except OSError:
        pytest.skip("this file system does not hold such a name")
    save_file(SMALL, path) if form == "safetensors" else path.write_bytes(WHOLE_ZIP)
    assert load_net(path).descriptor.arch == "srvgg"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode")
def test_a_name_that_is_no_unicode(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.pth")
    path.write_bytes(WHOLE_ZIP)
    assert load_net(path).descriptor.arch == "srvgg"


def test_an_unreadable_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert "cannot be read (Permission denied)" in refusal(tmp_path / "net.pth")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda w: w.pop("conv_hr.bias"), "lacks conv_hr.bias", id="one missing"),
        pytest.param(lambda w: [w.pop(k) for k in [*w] if k.startswith("body.1.")], None, id="last block missing"),
        pytest.param(lambda w: [w.pop(k) for k in [*w] if k.startswith("body.0.rdb2")], "and 9 more", id="rdb missing"),
        pytest.param(lambda w: w.update(extra=torch.ones(1)), "has no place for extra", id="one too many"),
        pytest.param(lambda w: w.update({"conv_hr.bias": torch.ones(9)}), "wrong shape of conv_hr.bias", id="shape"),
        pytest.param(
            lambda w: w.update({"body.999999999.rdb1.conv1.weight": torch.ones(4, 8, 3, 3)}),
            "looks like rrdbnet, but lacks",
            id="a number too high",
        ),
        pytest.param(
            lambda w: w.update({"conv_first.weight": torch.ones(100_000, 3, 1, 1)}), "wrong shape of", id="huge width"
        ),
    ],
)
def test_an_incomplete_checkpoint_is_refused(
    tmp_path: Path, change: Callable[[StateDict], object], reason: str | None
) -> None:
    weights = dict(RRDBNet(num_feat=8, num_block=2, num_grow_ch=4).state_dict())
    change(weights)
    path = saved({"params_ema": weights}, tmp_path / "net.pth")
    if reason is None:  # a smaller net, as far as anybody can tell
        assert load_net(path).descriptor.arch == "rrdbnet"
    else:
        assert reason in refusal(path)


def test_what_another_architecture_brings_leads_to_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    text = refusal(saved({"layers.0.attn.qkv.weight": torch.ones(12, 4)}, tmp_path / "net.pth"))
    assert 'pip install "upscale-cli[spandrel]"' in text


@settings(max_examples=150, deadline=None)
@given(
    whole=st.sampled_from([WHOLE_ZIP, WHOLE_LEGACY, safetensors_of({"body.0.weight": GAPLESS}, bytes(16))]),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=8)), max_size=4),
    length=st.floats(0, 1.1),
)
def test_damage_of_any_kind_is_a_checkpoint_error(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, cuts: list[tuple[float, bytes]], length: float
) -> None:
    data = bytearray(whole)
    for place, patch in cuts:
        start = int(place * len(data))
        data[start : start + len(patch)] = patch
    path = tmp_path_factory.mktemp("damaged") / "net.pth"
    path.write_bytes(data[: int(length * len(data))])
    with contextlib.suppress(CheckpointError):
        load_net(path)


KEYS = st.one_of(
    st.text(max_size=12),
    st.from_regex(
        r"(conv_?[1-4]|body\.[0-9]{1,4}(\.rdb[1-3]\.conv[1-5])?|conv_(first|last|hr|body|up1))\.(weight|bias)"
    ),
    st.from_regex(r"model\.(1\.sub\.)?[0-9²]{1,2}\.(weight|bias)"),
)
SHAPES = st.lists(st.integers(0, 4), max_size=5)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(shapes=st.dictionaries(KEYS, SHAPES, max_size=12))
def test_no_keys_and_shapes_upset_a_recogniser(shapes: dict[str, list[int]]) -> None:
    recognised = recognise({key: torch.zeros(shape) for key, shape in shapes.items()}, SidecarMetadata())
    if recognised is not None:
        with torch.device("meta"):
            architecture(recognised.descriptor.arch).net(**recognised.descriptor.config)


# Registry rows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [spec for spec in MODELS if spec.bundled], ids=lambda spec: spec.file)
def test_the_bundled_weights_are_what_their_rows_say(spec: Any) -> None:
    loaded = load_spec(spec, Found(bundled_folder() / spec.file, pinned=True))
    facts = loaded.descriptor
    assert (facts.arch, facts.scales, facts.colour) == (spec.arch, (spec.scale,), spec.channels)
    reported: list[str] = []
    load_net(bundled_folder() / spec.file, say=reported.append)
    assert reported == []  # our own files tell everything


def test_a_file_that_is_not_what_its_row_says_is_refused(tmp_path: Path) -> None:
    row = next(spec for spec in MODELS if spec.arch == "srvgg")
    good = SRVGGNetCompact(num_feat=8, num_conv=1)
    found = Found(saved(good.state_dict(), tmp_path / "net.pth"), pinned=False)
    assert load_spec(row, found).descriptor.only_scale == row.scale
    for other in (SRVGGNetCompact(num_feat=8, num_conv=1, upscale=2), ESPCN(4), nn.Conv2d(3, 3, 3)):
        torch.save(other.state_dict(), found.path)
        with pytest.raises(CheckpointError, match=rf"{row.model} x4 is srvgg x4 for rgb"):
            load_spec(row, found)


def test_interpolation_goes_weight_by_weight() -> None:
    a, b = (net_of(SRVGGNetCompact(num_feat=8, num_conv=1)) for _ in range(2))
    for weight in (0.0, 0.25, 1.0):
        blend = interpolate(a, b, weight)
        assert blend.descriptor == a.descriptor
        assert set(blend.state_dict) == set(a.state_dict)
        for key, tensor in blend.state_dict.items():
            expected = weight * a.state_dict[key] + (1 - weight) * b.state_dict[key]
            torch.testing.assert_close(tensor, expected, rtol=0, atol=0)
    torch.testing.assert_close(run(build_net(interpolate(a, b, 1.0)), 3), run(build_net(a), 3), rtol=0, atol=0)
    other = net_of(SRVGGNetCompact(num_feat=12, num_conv=1))
    with pytest.raises(CheckpointError, match="cannot be blended"):
        interpolate(a, other, 0.5)
    with pytest.raises(CheckpointError, match="cannot be blended"):
        interpolate(a, replace(b, descriptor=replace(b.descriptor, scales=(2,))), 0.5)


# The published files --------------------------------------------------------------------------------------------------

OURS = {
    "espcn-tf-x2": ("espcn", 2, "luma", "full"),
    "espcn-tf-x3": ("espcn", 3, "luma", "full"),
    "espcn-tf-x4": ("espcn", 4, "luma", "full"),
    "espcn-ycbcr-x2": ("espcn", 2, "ycbcr", "studio"),
    "espcn-ycbcr-x3": ("espcn", 3, "ycbcr", "studio"),
    "espcn-ycbcr-x4": ("espcn", 4, "ycbcr", "studio"),
    "espcn-yjn870-x3": ("espcn", 3, "luma", "studio"),
    "espcn-tutorial-x3": ("espcn", 3, "luma", "studio"),
    "realesr-general-x4v3": ("srvgg", 4, "rgb", "full"),
    "realesr-general-wdn-x4v3": ("srvgg", 4, "rgb", "full"),
    "realesr-animevideov3": ("srvgg", 4, "rgb", "full"),
}


@needs_shared_weights
@pytest.mark.parametrize("name", OURS)
def test_published_files_are_known_with_what_their_cards_say(name: str) -> None:
    reported: list[str] = []
    loaded = load_net(SHARED_WEIGHTS / f"{name}.safetensors", say=reported.append)
    facts, net = loaded.descriptor, build_net(loaded)
    assert (facts.arch, facts.only_scale, facts.colour, facts.luma_range) == OURS[name]
    if facts.arch == "espcn":
        relu, tanh_at_the_end = "tf" in name or "tutorial" in name, "tf" in name
        assert isinstance(net.activation, nn.ReLU if relu else nn.Tanh)
        assert isinstance(net.final_activation, nn.Tanh if tanh_at_the_end else nn.Identity)
    assert len(reported) == (1 if name == "espcn-tutorial-x3" else 0)  # its metadata say "luma / 255", and no range


@needs_shared_weights
@pytest.mark.parametrize("system", ["bsrn", "srmd"])
def test_published_nets_of_other_kinds_are_refused_or_known_for_what_they_are(
    system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    names = {system, "srresnet"} if system == "srgan" else {system}  # whose generator it is
    files = sorted(SHARED_WEIGHTS.glob(f"{system}*.safetensors"))
    assert files
    for file in files:
        recognised = recognise(*load_state_dict(file))
        if recognised is None:
            assert "none of the architectures written here" in refusal(file)
        else:
            assert recognised.descriptor.arch in names


# spandrel -------------------------------------------------------------------------------------------------------------


class Descriptor:
    """Looks like spandrel's ImageModelDescriptor."""

    def __init__(self, **facts: Any) -> None:
        self.model = nn.Conv2d(3, 12, 3, padding=1)
        self.scale, self.input_channels, self.output_channels, self.purpose = 2, 3, 3, "SR"
        self.size_requirements = types.SimpleNamespace(minimum=16, multiple_of=12)
        self.supports_half = False
        self.architecture = types.SimpleNamespace(name="SwinIR")
        self.tags = ["60nf", "4nb"]
        self.__dict__.update(facts)

    def __call__(self, lr: Tensor) -> Tensor:
        return nn.functional.pixel_shuffle(self.model(lr), 2)


def pretend_spandrel(monkeypatch: pytest.MonkeyPatch, outcome: object) -> None:
    class ModelLoader:
        def __init__(self, device: str) -> None:
            assert device == "cpu"

        def load_from_state_dict(self, state_dict: StateDict) -> object:
            assert all(isinstance(tensor, Tensor) for tensor in state_dict.values())
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

    module = types.ModuleType("spandrel")
    module.__dict__.update(ModelLoader=ModelLoader, ImageModelDescriptor=Descriptor, __version__="0.4.2")
    monkeypatch.setitem(sys.modules, "spandrel", module)


def test_a_net_from_spandrel_looks_like_one_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = Descriptor()
    pretend_spandrel(monkeypatch, descriptor)
    loaded = load_net(saved({"x": torch.ones(1)}, tmp_path / "net.pth"))
    facts = loaded.descriptor
    assert (facts.name, facts.scales, facts.colour, facts.multiple_of) == ("SwinIR", (2,), "rgb", 12)
    assert facts.pass_name(2) == "SwinIR x2, 60nf 4nb"
    assert facts.halo == 36
    assert not facts.sees_whole
    assert not facts.exact
    assert facts.precisions == {"fp32"}
    net = build_net(loaded)
    assert not any(weight.requires_grad for weight in descriptor.model.parameters())
    torch.testing.assert_close(run(net, 3), run(descriptor, 3))  # type: ignore[arg-type]
    assert run(net.to(torch.float64).float(), 3).shape == (1, 3, 24, 32)


def test_a_broken_spandrel_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "spandrel.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.delitem(sys.modules, "spandrel", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    text = refusal(saved({"x": torch.ones(1)}, tmp_path / "net.pth"))
    assert "does not start (RuntimeError)" in text


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        pytest.param(
            ValueError("what\nis this"), "no architecture that is known here or to spandrel 0.4.2", id="unknown"
        ),
        pytest.param(KeyError("x"), "no architecture that is known", id="its detectors fail"),
        pytest.param(Descriptor(purpose="FaceSR"), "is a SwinIR for FaceSR, no upscaler", id="faces"),
        pytest.param(Descriptor(input_channels=4), "turns 4 channels into 3", id="channels"),
        pytest.param(
            types.SimpleNamespace(architecture=types.SimpleNamespace(name="LaMa"), purpose="Inpainting"),
            "is a LaMa for Inpainting",
            id="inpainting",
        ),
    ],
)
def test_what_spandrel_cannot_make_an_upscaler_of_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: object, reason: str
) -> None:
    pretend_spandrel(monkeypatch, outcome)
    assert reason in refusal(saved({"x": torch.ones(1)}, tmp_path / "net.pth"))


def test_spandrel_itself(tmp_path: Path) -> None:
    pytest.importorskip("spandrel", reason="needs the extra upscale-cli[spandrel]")
    from spandrel.architectures.SAFMN import SAFMN

    net = SAFMN(dim=8, n_blocks=2, upscaling_factor=4)
    loaded = load_net(saved({"params": net.state_dict()}, tmp_path / "net.pth"))
    facts = loaded.descriptor
    assert (facts.name, facts.scales, facts.multiple_of) == ("SAFMN", (4,), 8)
    assert run(build_net(loaded), 3).shape == (1, 3, 48, 64)
    assert "no architecture that is known" in refusal(saved({"x": torch.ones(1)}, tmp_path / "other.pth"))


def test_a_header_of_any_length_is_told_from_a_pickle(tmp_path: Path) -> None:
    """The file begins with the length of its header, and 0x80 there is how pickles begin too."""
    net = ESPCN(2)
    for padding in range(0, 256, 8):
        path = tmp_path / f"{padding}.safetensors"
        save_file(net.state_dict(), path, metadata={"activation": "tanh", "note": "x" * padding})
        assert load_net(path, say=print).descriptor.only_scale == 2
    first_bytes = {path.read_bytes()[0] for path in tmp_path.iterdir()}
    assert 0x80 in first_bytes
