"""Parts of a net in fp32, where OpenVINO computes the rest in bfloat16: by its own account, and by what it gains."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.nets import CPU, loaded
from upscale_cli.inference.backends.openvino import OpenVino, OpenVinoSession
from upscale_cli.models.archs.rrdbnet import RRDBNet
from upscale_cli.models.interface import LoadedNet

openvino = pytest.importorskip("openvino", reason="OpenVINO has no wheel for this machine")


def bf16_here() -> None:
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor does not multiply bf16")


def net_of_two_blocks() -> LoadedNet:
    torch.manual_seed(0)
    return loaded(RRDBNet(num_feat=16, num_block=2, num_grow_ch=8))


def executed(session: OpenVinoSession) -> list[tuple[str, str]]:
    """(kind of layer, precision) of what was compiled last, in order, by OpenVINO's account of what it runs."""
    compiled: Any = next(reversed(session._begun.values()))._compiled
    facts = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    return [(str(one["layerType"].astype(str)), str(one["runtimePrecision"].astype(str))) for one in facts]


def test_first_and_last_convolution_and_the_sums_run_in_fp32() -> None:
    bf16_here()
    net = net_of_two_blocks()
    assert net.descriptor.sensitive == {"first", "last", "sums"}
    lr = torch.rand(1, 3, 24, 24)
    marked = OpenVino().load(net, CPU, "bf16")
    marked.run(lr, {})
    plain = OpenVino().load(replace(net, descriptor=replace(net.descriptor, sensitive=frozenset())), CPU, "bf16")
    plain.run(lr, {})
    convolutions = [precision for kind, precision in executed(marked) if kind == "Convolution"]
    assert convolutions[0] == convolutions[-1] == "f32"
    assert Counter(convolutions)["f32"] == 2
    assert all(precision == "f32" for kind, precision in executed(marked) if kind in ("Eltwise", "Subgraph"))
    assert {precision for kind, precision in executed(plain) if kind == "Convolution"} == {"bf16"}


def test_that_brings_it_nearer_to_fp32() -> None:
    bf16_here()
    net = net_of_two_blocks()
    lr = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    exact = OpenVino().load(net, CPU, "fp32").run(lr, {})

    def error(of: LoadedNet) -> float:
        return float((OpenVino().load(of, CPU, "bf16").run(lr, {}) - exact).square().mean().sqrt())

    plain = replace(net, descriptor=replace(net.descriptor, sensitive=frozenset()))
    assert 0 < error(net) < error(plain)


def test_in_fp32_the_model_is_what_it_was() -> None:
    from upscale_cli.inference.backends.openvino import core
    from upscale_cli.inference.backends.openvino_mixed import marked
    from upscale_cli.models.onnx_graph import onnx_bytes

    model = core().read_model(onnx_bytes(net_of_two_blocks()))
    again = core().read_model(*marked(model, {"first", "sums"}))
    lr = np.random.default_rng(0).random((1, 3, 20, 28), np.float32)
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    one, other = (core().compile_model(each, "CPU", hint)([lr])[0] for each in (model, again))
    np.testing.assert_array_equal(one, other)


def test_what_was_marked_is_kept_and_is_the_same_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time nothing is translated or marked."""
    bf16_here()
    from upscale_cli.inference.backends import openvino as ours
    from upscale_cli.models import known

    monkeypatch.setattr(known, "folder", lambda: tmp_path)
    net = replace(net_of_two_blocks(), identity="two-blocks")
    lr = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    first = OpenVino().load(net, CPU, "bf16").run(lr, {})
    assert {path.suffix for path in (tmp_path / "two-blocks").iterdir()} == {".onnx", ".xml", ".bin"}
    monkeypatch.setattr(ours, "read", None)
    assert torch.equal(OpenVino().load(net, CPU, "bf16").run(lr, {}), first)
