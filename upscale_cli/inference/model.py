"""One name that `-m` gives: a kernel, rows of the registry, or one checkpoint file; its nets, loaded when first needed.

Several of them, mixed or in a chain, are in `model_parts`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from upscale_cli.errors import OptionError
from upscale_cli.events import Listener, Note
from upscale_cli.inference.conditions import Condition, check_names, resolve
from upscale_cli.inference.degradation import UNKNOWN, Degradation
from upscale_cli.inference.device import Device, choose_precision
from upscale_cli.inference.engines_here import HALF
from upscale_cli.inference.options import Wanted
from upscale_cli.inference.plan_notes import gain, shrinking
from upscale_cli.inference.sizing import cheapest_chain
from upscale_cli.messages import option
from upscale_cli.models.interface import Descriptor, InputSpec, LoadedNet, Precision, Scale
from upscale_cli.models.known import load_known
from upscale_cli.models.plugins import architecture
from upscale_cli.models.quantised import int8_of
from upscale_cli.models.registry import MODELS, Spec, kernel_named, named, rows_of
from upscale_cli.models.resolve import available_rows, checkpoint_path_reporting, obtain_reporting
from upscale_cli.models.seen import remember

DEFAULT_SCALE: Final = 4
"""For photos, unless the model has one scale only."""


class Model:
    """One model, on no device yet. A checkpoint file is loaded at once, a registry row when it is needed.

    Args:
        given: a name of the registry, or one that others have for it; the path of any checkpoint, or the stem of one
            that is the user's; omdb:ID.
        chosen_for_user: only rows whose checkpoints are on this machine are used, if there are any.
        denoise: 0 to 1; below 1 the weights are blended with those of a second checkpoint.
        conditions: what the user gives the nets in addition to the picture, by name.
        degradation: what the user says of blur and noise.
        is_part: of several: some of the conditions, and `denoise`, may be for others.

    Attributes:
        file: the checkpoint file that was named; None for rows of the registry and kernels.
        given: what names it in another process, where a stem may mean another file.
        name: for people.
        kernel: that resamples instead of a net; None: a net does.
        only_scale: of a model that has no other; an int where it is whole.
        default_scale: where the user names none.

    Raises:
        OptionError, UnknownModelError, CheckpointError: see `upscale_cli.errors`.
    """

    def __init__(
        self,
        given: str,
        *,
        chosen_for_user: bool,
        denoise: float,
        conditions: Mapping[str, Condition],
        listener: Listener,
        degradation: Degradation = UNKNOWN,
        is_part: bool = False,
    ) -> None:
        self._denoise, self._conditions, self._listener, self._is_part = denoise, conditions, listener, is_part
        self.file = checkpoint_path_reporting(given, listener)
        self.given = given if self.file is None else str(self.file)
        self.name = named(given)[0] if self.file is None else self.file.stem
        self.kernel = kernel_named(self.name) if self.file is None else None
        self._rows: Mapping[int, Spec] = {}
        self._loaded: dict[int, LoadedNet] = {}  # of rows, by scale
        self._own: LoadedNet | None = None  # of a checkpoint file
        self.only_scale: float | None = None  # of a model that has no other; an int where it is whole
        if self.file is not None:
            self._own = self._load_file(self.file)
            facts = self._own.descriptor
            only = facts.only_scale
            self.only_scale = only if only is None or isinstance(only, int) else float(only)
            self._check_names(facts)
            # What is missing is reported before anything is read.
            resolve(facts, degradation.inputs(facts, only or facts.steps(2)[0], self._conditions))
        elif self.kernel is None:
            scales = [spec.scale for spec in rows_of(given)]
            self.only_scale = scales[0] if len(scales) == 1 else None
            self._rows = available_rows(given, chosen_for_user=chosen_for_user, say=self._say)
        self.default_scale = self.only_scale or DEFAULT_SCALE
        if not is_part:
            check_denoise([self], denoise, self.name)
            degradation.check(self.name, self.inputs)

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        """What its net takes beside the picture; nothing of those of the registry."""
        return self._own.descriptor.inputs if self._own is not None else ()

    def costs(self, needed: float) -> dict[Scale, float]:
        """Per pixel that goes in, of every pass that may be part of a plan for so many SR pixels per LR pixel."""
        if self._own is not None:
            # What a net of several scales takes is reckoned by the pixels that it makes.
            return {scale: float(scale) ** 2 for scale in self._own.descriptor.steps(needed)}
        return {scale: float(spec.macs) for scale, spec in self._rows.items()}

    def passes(self, needed: float) -> tuple[Scale, ...]:
        """Scales of the passes that make at least so many SR pixels per LR pixel, the cheapest."""
        return cheapest_chain(self.costs(needed), needed)

    def plan_note(self, passes: Sequence[Scale], needed: float) -> str:
        """What such a plan does that may be unexpected, and which checkpoint would spare it; "" for nothing."""
        line = shrinking(self.name, passes, needed)
        if not self._rows:
            return line
        all_there_are: dict[Scale, float] = {spec.scale: float(spec.macs) for spec in rows_of(self.given)}
        return " ".join(filter(None, (line, gain(self.name, self.costs(needed), all_there_are, needed))))

    def check_scale(self, scale: float) -> None:
        """Any will do: what is too large is made smaller."""

    @property
    def makes_any_scale(self) -> bool:
        """Whether a pass has the very scale that is asked for."""
        return self._own is not None and self._own.descriptor.rounds_up

    def row(self, scale: Scale) -> Spec | None:
        """The row of the registry for a scale; None where there is none."""
        return self._rows.get(int(scale)) if scale == int(scale) else None

    def device_for(self, asked: str) -> str:
        """The device by its name: on a CPU is what "auto" means for an ONNX file, which torch does not run."""
        is_onnx = self._own is not None and self._own.graph is not None
        return "cpu" if is_onnx and asked.strip().lower() in ("auto", "all") else asked

    def precision(
        self, wanted: Wanted, device: Device, scale: Scale, bits: int, engine: str = "torch", *, is_mixed: bool = False
    ) -> Precision:
        """What an engine computes the net of that scale in, for pictures of so many bits a channel.

        Args:
            is_mixed: its weights are mixed with those of others.
        """
        if wanted == "int8" and (is_mixed or self.net(scale).int8 is None):
            able = ", ".join(f"{spec.model} x{spec.scale}" for spec in MODELS if spec.int8)
            raise OptionError(
                f"{option('precision', 'int8')} needs a file in 8 bits, and {self.name} x{float(scale):g} has none. "
                f"Those that have one are {able}. Choose one of them, or another {option('precision')}."
            )
        if wanted in ("fp16", "bf16") and self._own is not None and self._own.descriptor.precisions == {"fp32"}:
            raise OptionError(
                f"{option('precision', wanted)} does not go with {self.name}, which computes in fp32 only. "
                "Leave it out."
            )
        spec = self.row(scale)
        bears_fp16 = self._own is None or "fp16" in self._own.descriptor.precisions
        if wanted == "auto" and not bears_fp16 and device.type == "cuda":
            return "fp32"
        if wanted == "auto" and engine in HALF:
            return "fp16" if bits <= 8 and bears_fp16 else "fp32"
        blended = self._denoise != 1 and spec is not None and spec.weak_denoise is not None
        # It was measured for the row's own weights only.
        bf16_is_close = spec is not None and engine in spec.bf16 and not (blended or is_mixed)
        return choose_precision(wanted, device, bits=bits, bf16_is_close=bf16_is_close)

    def pass_name(self, scale: Scale) -> str:
        """What a pass runs, for people: the checkpoint's name; what the net of a file is."""
        row = self.row(scale)
        if row is not None:
            return row.stem
        return self.name if self._own is None else self._own.descriptor.pass_name(scale)

    def checksums_of(self, passes: Sequence[Scale]) -> dict[str, str]:
        """Those of `checksums` that decide about the result of some passes."""
        sums = self.checksums()
        return sums if self._own is not None else {str(scale): sums[str(scale)] for scale in sorted(set(passes))}

    def checksums(self) -> dict[str, str]:
        """sha256 of its checkpoints by scale, for comparing two runs."""
        if self._own is not None:
            from upscale_cli.models.loading import net_digest

            return {self._own.descriptor.scales_key: net_digest(self._own)}
        return {str(scale): spec.sha256 for scale, spec in self._rows.items()}

    def halo_identity(self, asked_for: int | None) -> dict[str, int | str]:
        """The halo, for comparing two runs: nothing where the net's own is what it has always been."""
        if asked_for is not None:
            return {"halo": asked_for}
        archs = {spec.arch for spec in self._rows.values()} if self._own is None else {self._own.descriptor.arch}
        changed = sorted(filter(None, (architecture(name).changed_halo for name in archs)))
        return {"halo": ", ".join(changed)} if changed else {}

    def release(self) -> None:
        """Forgets the nets that were loaded, but for a file given by path: it is not read twice."""
        self._loaded.clear()

    def net(self, scale: Scale) -> LoadedNet:
        """The net of that scale, loaded (and fetched) the first time."""
        if self._own is not None:
            return self._own.at(scale)
        place = int(scale)
        if place not in self._loaded:
            spec = self._rows[place]
            loaded = self._load(spec)
            if self._denoise != 1 and spec.weak_denoise:
                from upscale_cli.models.mixing import interpolate

                (second,) = rows_of(spec.weak_denoise)
                loaded = interpolate(loaded, self._load(second), self._denoise)
            self._check_names(loaded.descriptor)
            self._loaded[place] = loaded
        return self._loaded[place]

    @property
    def takes_denoise(self) -> bool:
        """Whether `denoise` changes anything."""
        return any(spec.weak_denoise for spec in self._rows.values())

    def _check_names(self, facts: Descriptor) -> None:
        if not self._is_part:
            check_names([facts], self._conditions, self.name)

    def _load(self, spec: Spec) -> LoadedNet:
        found = obtain_reporting(spec, self._listener)

        def load() -> LoadedNet:
            from upscale_cli.models.loading import load_spec

            return load_spec(spec, found)

        net = load_known(found.path, spec.sha256 if found.pinned else None, load, spec.is_of)
        return replace(net, int8=spec.int8) if found.pinned else net

    def _load_file(self, path: Path) -> LoadedNet:
        reported: list[str] = []

        def say(text: str) -> None:
            reported.append(text)
            self._say(text)

        def load() -> LoadedNet:
            from upscale_cli.inference.net_file import load_net_file

            return load_net_file(path, say=say)

        net = load_known(path, None, load, may_be_kept=lambda: not reported)
        remember(path, net.descriptor)
        return replace(net, int8=int8_of(path))

    def _say(self, text: str) -> None:
        self._listener(Note(text))


def check_denoise(models: Sequence[Model], denoise: float, name: str) -> None:
    """Refuses `denoise` where none of the models has a use for it.

    Raises:
        OptionError: so it is.
    """
    if denoise != 1 and not any(model.takes_denoise for model in models):
        able = ", ".join(dict.fromkeys(spec.model for spec in MODELS if spec.weak_denoise))
        raise OptionError(
            f"{option('denoise')} does not go with {name}, which has no second checkpoint to blend with. "
            f"Choose {option('model', able)}."
        )
