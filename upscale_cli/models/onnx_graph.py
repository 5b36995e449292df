"""A net as an ONNX graph, written down in a moment: what engines other than torch read, and what `export` writes.

    LoadedNet  ->  nn.Module  ->  torch.fx (its operations, in order)  ->  one ONNX node or a few for each

TorchScript's tracer and torch's own exporter do the same for many more nets, but take 16 s and more for an RRDBNet of
23 blocks. A net that does something unknown here is not translated at all: engines leave it to torch.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import onnx
from onnx import TensorProto, helper
from torch import fx, nn

from upscale_cli.models import onnx_operators, onnx_tokens
from upscale_cli.models.interface import INPUT as INPUT  # for those who read the graph
from upscale_cli.models.interface import OUTPUT as OUTPUT
from upscale_cli.models.interface import LoadedNet
from upscale_cli.models.loading import build_net
from upscale_cli.models.onnx_operators import Name, Nodes
from upscale_cli.models.onnx_operators import NotTranslatableError as NotTranslatableError

OPSET: Final = 18
"""Of the operators; the first in which Resize knows antialiasing, and known to every runtime since 2023."""

IR_VERSION: Final = 8
"""Of the file, which goes with that opset."""

PRODUCER: Final = "upscale-cli"

MODULES: Final = {**onnx_operators.MODULES, **onnx_tokens.MODULES}
FUNCTIONS: Final = {**onnx_operators.FUNCTIONS, **onnx_tokens.FUNCTIONS}


def onnx_bytes(net: LoadedNet) -> bytes:
    """The net as engines read it: as it came, or else translated; see `onnx_model`.

    Raises:
        NotTranslatableError, RuntimeError, MemoryError: as `onnx_model`.
    """
    return onnx_model(net).SerializeToString() if net.graph is None else net.graph.model


def onnx_model(net: LoadedNet, module: nn.Module | None = None) -> onnx.ModelProto:
    """Translates a net.

    Args:
        module: that is the net, where it is not `build_net`'s.

    Returns:
        A model of one output `sr`, (N, C, scale * H, scale * W) float32, and the inputs `lr`, (N, C, H, W) float32, and
        whatever else the descriptor lists, each with the batch axis in front. N, H and W are free.

    Raises:
        NotTranslatableError: it has an operation that is unknown here, or decides by values or sizes what it does.
        RuntimeError, MemoryError: as torch raises them.
    """
    module = build_net(net) if module is None else module
    tracer = _Tracer([spec.name for spec in net.descriptor.inputs])
    try:
        graph = fx.GraphModule(module, tracer.trace(module))
    except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError, NotImplementedError, AttributeError) as error:
        raise NotTranslatableError(f"what it does depends on the picture ({str(error).splitlines()[0]})") from error
    made = _Graph(graph)
    facts = net.descriptor
    free = {spec.name: spec for spec in facts.inputs}
    inputs = []
    for name in made.inputs:
        if name in free:
            own = free[name].shape
            shape = ["batch", *(f"{name}_{axis}" if length is None else length for axis, length in enumerate(own))]
            if free[name].tiled:
                shape[-2:] = ["height", "width"]
        else:
            shape = ["batch", facts.channels, "height", "width"]
        inputs.append(helper.make_tensor_value_info(made.inputs[name], TensorProto.FLOAT, shape))
    output = helper.make_tensor_value_info(
        OUTPUT, TensorProto.FLOAT, ["batch", facts.channels, "sr_height", "sr_width"]
    )
    return helper.make_model(
        helper.make_graph(made.nodes, facts.name, inputs, [output], made.initializers),
        producer_name=PRODUCER, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)],
    )  # fmt: skip


class _Tracer(fx.Tracer):
    """One that hands a net its inputs by their names, however its `forward` spells them: `**inputs`, say.

    Args:
        names: of the inputs beside the picture.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = names

    def create_args_for_root(
        self, root_fn: Any, is_module: bool, concrete_args: Any = None,  # noqa: ARG002  # as torch calls it
    ) -> tuple[Callable[..., Any], list[Any]]:  # fmt: skip
        """The function to be traced, and what it is called with."""
        values = [self.create_proxy("placeholder", name, (), {}) for name in (INPUT, *self._names)]

        def forward(module: nn.Module, lr: Any, *given: Any) -> Any:
            return module.forward(lr, **dict(zip(self._names, given, strict=True)))

        return forward, [self.root, *values]


class _Graph(Nodes):
    """A net's operations in order, each as nodes.

    Attributes:
        inputs: names in the graph by those of the net's arguments.
    """

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__()
        self.inputs: dict[str, str] = {}
        self._modules = dict(traced.named_modules())
        self._names: dict[fx.Node, Any] = {}
        for node in traced.graph.nodes:
            self._translate(node, traced)

    def _translate(self, node: fx.Node, traced: fx.GraphModule) -> None:
        match node.op:
            case "placeholder":
                self.inputs[str(node.target)] = self._names[node] = INPUT if not self.inputs else str(node.target)
            case "get_attr":
                value: Any = traced
                for part in str(node.target).split("."):
                    value = getattr(value, part)
                self._names[node] = self.weight(value)
            case "call_module":
                module = self._modules[str(node.target)]
                translate: Any = MODULES.get(type(module))
                if translate is None:
                    raise NotTranslatableError(f"layer {type(module).__name__} is not known")
                self._names[node] = translate(self, module, *map(self._argument, node.args))
            case "call_function" | "call_method":
                translate = FUNCTIONS.get(node.target)
                if translate is None:
                    name = (
                        node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.target)
                    )
                    raise NotTranslatableError(f"operation {name} is not known")
                given = {key: self._argument(value) for key, value in node.kwargs.items()}
                try:
                    self._names[node] = translate(self, *map(self._argument, node.args), **given)
                except TypeError as error:  # an argument that no translation has
                    raise NotTranslatableError(str(error)) from error
            case _:
                (result,) = node.args
                if not isinstance(result, fx.Node):
                    raise NotTranslatableError("it gives more than one picture")
                self.nodes.append(helper.make_node("Identity", [self._names[result]], [OUTPUT]))

    def _argument(self, value: Any) -> Any:
        """As operations take it: tensors by their names in the graph, all else as it is."""
        if isinstance(value, fx.Node):
            name = self._names[value]
            return name if isinstance(name, Name | list) else Name(name)
        if isinstance(value, tuple | list):
            return [self._argument(one) for one in value]
        if isinstance(value, slice):
            return slice(self._argument(value.start), self._argument(value.stop), self._argument(value.step))
        return value
