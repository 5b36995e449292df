"""What a net is, as values; nothing of how it runs. Knows no particular net, and imports no torch.

    checkpoint  ->  Architecture.recognise  ->  Descriptor + state_dict  ->  Session (inference/backends)

A file `models/archs/<arch>.py` holds a net and its `Architecture`; plugins bring more of them (`models/plugins.py`).
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from upscale_cli.models.input_spec import SCALE_INPUT as SCALE_INPUT
from upscale_cli.models.input_spec import InputSpec as InputSpec
from upscale_cli.models.scale import CUBIC_REACH as CUBIC_REACH
from upscale_cli.models.scale import MOST_DENOMINATOR as MOST_DENOMINATOR
from upscale_cli.models.scale import MOST_PARTS as MOST_PARTS
from upscale_cli.models.scale import Interval as Interval
from upscale_cli.models.scale import Scale as Scale
from upscale_cli.models.scale import Scales as Scales
from upscale_cli.models.scale import as_scale as as_scale
from upscale_cli.models.scale import enlarged_halo as enlarged_halo
from upscale_cli.models.scale import scaled as scaled
from upscale_cli.models.scale import scales_named as scales_named

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

Colour = Literal["rgb", "luma", "ycbcr"]

LumaRange = Literal["full", "studio"]
"""Of luma: 0..255, or 16..235 of 255."""

Precision = Literal["fp16", "bf16", "fp32", "int8"]
"""int8: weights and activations of the large layers in 8 bits, from a file of their own."""

Sensitive = Literal["first", "last", "sums"]
"""Of a net: the convolution that reads the picture, the one that makes it, the sums of its residual connections."""

INPUT: Final = "lr"
OUTPUT: Final = "sr"
"""What the picture is called where it goes into a graph and comes out; further inputs have their own names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What a net is.

    Attributes:
        arch: its `Architecture`, by name.
        config: keyword arguments of the architecture's net: widths, depths, all that its keys and shapes show.
        scales: that one pass can have.
        channels: that it takes and gives, 1 or 3.
        colour: what they mean.
        luma_range: of the luma it expects; "full" for RGB, where nothing depends on it.
        halo: LR pixels around a tile that its SR pixels depend on.
        exact: the halo is the whole receptive field, so that tiles equal the whole picture.
        multiple_of: what LR sides must divide by.
        rounds_up: it takes sides that a fractional scale does not divide, and makes `scaled` SR pixels of them; others
            get pictures padded to multiples of the denominator.
        least_side: LR pixels that a side must have.
        sees_whole: it looks at the whole picture (global pooling), so that a tile is not what the whole would be.
        precisions: that it was measured or made to run in; "auto" takes no other.
        sensitive: parts that most of bfloat16's error comes from: engines that can keep them in fp32.
        inputs: what it needs in addition to the picture.
        fixed_sides: (height, width) in LR pixels of the only window that it takes; None: any size will do.
        one_at_a_time: it takes no batches of several pictures.
        input_range, output_range: the net's own values of black and white, where they are not 0 and 1; who runs it by
            `build_net` gives and gets [0, 1] all the same.
        enlarged: the net takes the picture enlarged to its SR size by cubic convolution, and does not enlarge itself;
            `halo` counts LR pixels even so, those of the enlargement included (`enlarged_halo`).
        sr_reach: of such a net, pixels of the enlarged picture that a pixel depends on, on each side.
        fixed_scale: that of a net which takes its scale as an input and was made ready for one (`at`).
        variant: what a family of architectures calls this one; "" for all that have one name only.
        depth: how large this one is, for people: "6 blocks".
    """

    arch: str
    config: Mapping[str, Any] = field(default_factory=dict)
    scales: Scales
    channels: int = 3
    colour: Colour = "rgb"
    luma_range: LumaRange = "full"
    halo: int
    exact: bool = False
    multiple_of: int = 1
    rounds_up: bool = False
    least_side: int = 1
    sees_whole: bool = False
    precisions: frozenset[Precision] = frozenset({"fp32", "fp16"})
    sensitive: frozenset[Sensitive] = frozenset()
    inputs: tuple[InputSpec, ...] = ()
    fixed_sides: tuple[int, int] | None = None
    one_at_a_time: bool = False
    input_range: tuple[float, float] = (0.0, 1.0)
    output_range: tuple[float, float] = (0.0, 1.0)
    enlarged: bool = False
    sr_reach: int = 0
    fixed_scale: Scale | None = None
    variant: str = ""
    depth: str = field(default="", compare=False)  # `config` has it

    @property
    def name(self) -> str:
        """Of the architecture, for people."""
        return self.variant or self.arch

    @property
    def only_scale(self) -> Scale | None:
        """The scale of a net that has but one."""
        return self.scales[0] if isinstance(self.scales, tuple) and len(self.scales) == 1 else None

    def pass_name(self, scale: Scale) -> str:
        """Of a pass, for people: "rrdbnet x4, 6 blocks"."""
        return f"{self.name} x{float(scale):g}{', ' if self.depth else ''}{self.depth}"

    @property
    def scales_key(self) -> str:
        """What its scales are called in fingerprints: a single one by its number, as ever."""
        return ", ".join(map(str, self.scales)) if isinstance(self.scales, tuple) else str(self.scales)

    def at(self, scale: Scale) -> "Descriptor":
        """The same net for one of its scales: it takes the scale as an input no longer, and engines that translate nets
        need not ask what it does at others.

        >>> vdsr = Descriptor(arch="vdsr", scales=(2, 3, 4), enlarged=True, sr_reach=20, halo=12)
        >>> vdsr.at(4).scales, vdsr.at(4).halo
        ((4,), 7)
        """
        takes_scale = any(spec.name == SCALE_INPUT for spec in self.inputs)
        if self.only_scale is not None and not takes_scale:
            return self
        return replace(
            self, scales=(scale,), halo=enlarged_halo(self.sr_reach, scale) if self.enlarged else self.halo,
            inputs=tuple(spec for spec in self.inputs if spec.name != SCALE_INPUT),
            fixed_scale=scale if takes_scale else None,
        )  # fmt: skip

    def steps(self, needed: float) -> tuple[Scale, ...]:
        """Scales of passes that are worth a thought, where `needed` SR pixels per LR pixel are to be reached."""
        if isinstance(self.scales, tuple):
            return self.scales
        steps, largest = [self._step(self.scales, needed)], self.scales.nearest(self.scales.most)
        while needed > largest > 1:
            needed /= float(largest)
            steps += [largest, self._step(self.scales, needed)]
        return tuple(dict.fromkeys(steps))

    def _step(self, scales: Interval, needed: float) -> Scale:
        """What is needed itself, where the net can do it; else a little more."""
        exact = as_scale(needed)
        can = self.rounds_up and exact.denominator <= MOST_PARTS and scales.least <= exact <= scales.most
        return exact if can and math.isclose(exact, needed, rel_tol=1e-12) else scales.nearest(needed)

    def side_multiple(self, scale: Scale) -> int:
        """What the LR sides of a picture must divide by at that scale."""
        return self.multiple_of if self.rounds_up else math.lcm(self.multiple_of, scale.denominator)


@dataclass(frozen=True, slots=True)
class OnnxNet:
    """A net that came as an ONNX file, made ready: torch has no part in it.

    Attributes:
        model: serialised ONNX of one input `lr`, (N, C, H, W) float32 in [0, 1], and one output `sr`, as `Session` has
            them.
        sha256: of the file that it came as, and of what lay next to it.
        parameters: how many numbers its weights are.
        stated: what the file says of itself in its metadata.
    """

    model: bytes
    sha256: str
    parameters: int
    stated: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Int8File:
    """A checkpoint's net in 8 bits: ONNX as `OnnxNet` has it, bundled.

    Attributes:
        file: its name.
        sha256: of it.
        size: its bytes.
        loss: dB that it stays below the net in fp32, PSNR of luma against HR on B100 (training/logs).
    """

    file: str
    sha256: str
    size: int
    loss: float


@dataclass(frozen=True, slots=True)
class LoadedNet:
    """A net and its weights.

    Attributes:
        state_dict: float32 on the CPU, under the architecture's keys; empty where there is a `graph`.
        graph: the net itself, where it is no module of torch's.
        identity: what facts about it are kept under; "" where none are. See `models.known`.
        int8: the same net in 8 bits; None: there is none.
        parts: of a chain: its nets and the scales of their passes, in order; see `models.chain`.
    """

    descriptor: Descriptor
    state_dict: "Mapping[str, Tensor]"
    graph: OnnxNet | None = None
    identity: str = ""
    int8: Int8File | None = None
    parts: "tuple[tuple[LoadedNet, Scale], ...]" = ()

    def at(self, scale: Scale) -> "LoadedNet":
        """The net for one of its scales; see `Descriptor.at`. One that has no other stays as it is."""
        facts = self.descriptor if self.graph is not None else self.descriptor.at(scale)
        if facts is self.descriptor:
            return self
        name = f"{self.identity}-x{scale}".replace("/", "-over-") if self.identity else ""
        return replace(self, descriptor=facts, identity=name)


@dataclass(frozen=True, slots=True)
class Recognised:
    """A state_dict that an architecture knows as its own.

    Attributes:
        descriptor: of the net it makes.
        state_dict: the tensors under this project's keys.
        assumed: what neither keys nor sidecar metadata had and was therefore taken as usual; reported to the user.
    """

    descriptor: Descriptor
    state_dict: "Mapping[str, Tensor]"
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Architecture:
    """A kind of net; one file of `models/archs`, or a plugin.

    Attributes:
        name: what descriptors and registry rows call it.
        recognise: knows its checkpoints by keys and shapes; None for all others. It must not rely on anything: a file
            may hold anything.
        net: makes the net, untrained, from a descriptor's `config`: an `nn.Module` whose keys are those of
            `Recognised.state_dict`, as the reference has it; it takes (N, C, H, W) in the descriptor's `input_range`,
            and its inputs by their names, each with a batch axis in front, and gives (N, C, scale * H, scale * W) in
            its `output_range`, not clamped.
        lacks: the first key that is missing where the others look like this architecture; None where they do not.
        load: makes the net with its weights in it, where `net` and `load_state_dict` will not do.
        complete: adds tensors that the reference keeps in another file than the checkpoint, whose path it gets, or
            raises CheckpointError.
        adapt: wraps a net whose reference wants or gives other things than a session does, ranges and the enlargement
            of the picture apart, which the descriptor has (`models.adapted`).
        about: the paper, for people: authors, year, link.
        inputs: what its nets need beside the picture, by the names that users know: "kernel", "noise"; each net's
            descriptor has the one or other of them.
        changed_halo: the default halo, in words, where an earlier version had another: part of a job's fingerprint.
    """

    name: str
    recognise: "Callable[[Mapping[str, Tensor], SidecarMetadata], Recognised | None]"
    net: "Callable[..., nn.Module]"
    lacks: "Callable[[Mapping[str, Tensor]], str | None] | None" = None
    load: "Callable[[Descriptor, Mapping[str, Tensor]], nn.Module] | None" = None
    complete: "Callable[[Recognised, Path], Recognised] | None" = None
    adapt: "Callable[[nn.Module, Descriptor], nn.Module] | None" = None
    about: str = ""
    inputs: tuple[str, ...] = ()
    changed_halo: str = ""

    @property
    def year(self) -> str:
        """The first one that `about` names, the paper's; "" where it names none."""
        found = re.search(r"\b(?:19|20)[0-9]{2}\b(?![./])", self.about)  # of an address it would be a number
        return found[0] if found else ""


@dataclass(frozen=True, slots=True)
class SidecarMetadata:
    """What keys and shapes do not show; None where unknown.

    It comes from a safetensors file's metadata or from NAME.json next to the checkpoint: either these field
    names, or the free text of a model card ("5x5, 1->64, tanh"; "luma only, full range").

    Attributes:
        stated: all that is written there, as it is written: for the architectures that ask for more.
    """

    activation: Literal["tanh", "relu", "leakyrelu"] | None = None
    final_activation: Literal["tanh"] | None = None
    luma_range: LumaRange | None = None
    colour: Colour | None = None
    stated: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def arch(self) -> str:
        """The architecture by its stated name, in small letters; "" where none is stated in one word."""
        arch = self.stated.get("arch", self.stated.get("modelspec.architecture"))
        return arch.lower() if isinstance(arch, str) else ""

    def number(self, *names: str) -> int | None:
        """A whole number that is stated under one of these names: by itself, under `arch`, or under `configs`."""
        configs = self.stated.get("configs")
        several = configs.values() if isinstance(configs, Mapping) else ()
        for place in (self.stated, self.stated.get("arch"), *several):
            for name in names if isinstance(place, Mapping) else ():
                value = place.get(name)
                if (isinstance(value, int) and not isinstance(value, bool)) or (
                    isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value)
                ):
                    return int(value)
        return None

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> "SidecarMetadata":
        """Takes what it understands of NAME.json or of safetensors metadata, and ignores the rest."""
        arch = facts.get("arch")
        layers = {str(key): str(text).lower() for key, text in arch.items()} if isinstance(arch, Mapping) else {}
        tail = layers.pop("tail", "")
        between = " ".join([str(facts.get("activation", "")).lower(), layers.get("act_type", ""), *layers.values()])
        given = f"{facts.get('luma_range', '')} {facts.get('colour', '')} {facts.get('input', '')}".lower()
        return cls(
            activation=(
                "tanh" if "tanh" in between
                else "leakyrelu" if "leaky" in between
                else "relu" if re.search(r"\brelu\b", between)
                else None
            ),
            final_activation="tanh" if "tanh" in f"{tail} {facts.get('final_activation', '')}".lower() else None,
            luma_range=(
                "studio" if "studio" in given or "limited" in given else "full" if "full" in given else None
            ),
            colour=(
                "ycbcr" if "ycbcr" in given or re.search(r"y,\s*cb", given)
                else "rgb" if re.search(r"\brgb\b", given) and "luma" not in given
                else "luma" if "luma" in given
                else None
            ),
            stated=facts,
        )  # fmt: skip


def natural_order(names: Iterable[str]) -> list[str]:
    """Names sorted so that body.2 stands before body.10.

    >>> natural_order(["body.10", "body.2"])
    ['body.2', 'body.10']
    """
    return sorted(names, key=lambda name: [(part.isdecimal(), int(part) if part.isdecimal() else 0, part)
                                           for part in re.split(r"(\d+)", name)])  # fmt: skip
