"""A luma net as a user shader for mpv and for all that libplacebo draws: one text file, nothing to install.

Each layer is some passes, and each pass makes four channels of it, a texture. The format: mpv's manual, "glsl-shaders"
(https://mpv.io/manual/stable/#options-glsl-shader), and libplacebo's "custom shaders"
(https://libplacebo.org/custom-shaders/).

LUMA there holds the codes of the plane divided by the largest one: in most clips black is 16/255 and white 235/255.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from upscale_cli.export.shader_layers import Activation, Array, Formula, Layer, ShaderNet
from upscale_cli.models.interface import LumaRange

MOST_BINDS: Final = 14
"""Textures that a pass reads besides the luma plane and a sum that it goes on with: OpenGL promises 16."""

MOST_WEIGHTS: Final = 150_000
"""Beyond that a shader takes seconds to compile, and no GPU runs it in time for a clip."""

WORTH: Final = 1.2
"""Times as wide and high as the clip that it has to be shown; below that the net would be for nothing."""


def mpv_shader(
    net: ShaderNet, facts: Mapping[str, str], *, title: str, luma_range: LumaRange, full_range: bool = False
) -> str:
    """The shader's text.

    Args:
        net: of one channel.
        facts: that go into its head.
        title: of the net.
        luma_range: what it takes: its black is 0 or 16/255.
        full_range: of the clips that the shader is for: their black is 0, and else 16/255.
    """
    return "\n".join(
        [*_head(facts, title, full_range=full_range), *_Writer(net, title, luma_range, full_range).passes()]
    )


def _head(facts: Mapping[str, str], title: str, *, full_range: bool) -> list[str]:
    lines = [f"// {title}, a user shader for mpv (--glsl-shaders=FILE) and libplacebo."]
    lines += [
        f"// For {'full' if full_range else 'limited'}-range clips; brightness only, colour is left to the player."
    ]
    return [*lines, *(f"// {key}: {' '.join(value.split())}" for key, value in facts.items()), ""]


class _Writer:
    """The passes of a net.

    Textures have names of their layer's place in a short cycle, so that few of them are alive.
    """

    def __init__(self, net: ShaderNet, title: str, luma_range: LumaRange, full_range: bool) -> None:
        self._net, self._title = net, title
        black, span = (0.0, 1.0) if full_range else (16 / 255, 219 / 255)
        if luma_range == "studio":  # the net's own black lies where that of a limited clip does
            span /= 219 / 255
            black -= span * 16 / 255
        self._black, self._span = black, span
        self._slots = _slots(net)

    def passes(self) -> Iterator[str]:
        for number, layer in enumerate(self._net.layers):
            if number:
                yield from self._layer(number, layer)
        yield from self._last()

    def _name(self, layer: int, group: int) -> str:
        return f"UP{self._slots[layer]}_{group}"

    def _groups(self, layer: int) -> int:
        return -(-self._net.layers[layer].channels // 4)

    def _layer(self, number: int, layer: Layer) -> Iterator[str]:
        """The passes of a layer: several for each four channels, where it is made of many textures."""
        every = [(source, part) for source in layer.inputs for part in range(self._groups(source))]
        for group in range(self._groups(number)):
            sources = [(source, group) for source in layer.inputs] if layer.is_sum else every
            parts = [sources[start : start + MOST_BINDS] for start in range(0, len(sources), MOST_BINDS)]
            for place, part in enumerate(parts):
                yield from self._pass(number, layer, group, part, is_first=not place, is_last=place == len(parts) - 1)

    def _pass(
        self, number: int, layer: Layer, group: int, part: list[tuple[int, int]], *, is_first: bool, is_last: bool
    ) -> Iterator[str]:
        name = self._name(number, group)
        binds = ["LUMA", *(self._name(*source) for source in part if source[0]), *([] if is_first else [name])]
        yield from self._header(binds, f"layer {number} of {len(self._net.layers)}, {group + 1}/{self._groups(number)}")
        yield f"//!SAVE {name}"
        yield "//!COMPONENTS 4"
        yield from self._helpers(reads_luma=any(not source for source, _ in part))
        yield "vec4 hook() {"
        channels = slice(4 * group, 4 * group + 4)
        yield f"    vec4 r = {_vector(layer.bias[channels]) if is_first else f'{name}_texOff(vec2(0.0))'};"
        if layer.is_sum:
            yield from (f"    r += {self._read(*source)};" for source in part)
        else:
            for (dy, dx), weights in layer.taps.items():
                yield from self._tap(weights[channels], part, dy, dx)
        if is_last:
            yield from (f"    r = {_activated('r', one, group)};" for one in layer.activations)
        yield "    return r;"
        yield "}"
        yield ""

    def _read(self, source: int, group: int) -> str:
        return f"{self._name(source, group)}_texOff(vec2(0.0))" if source else "vec4(luma(vec2(0.0)), 0.0, 0.0, 0.0)"

    def _tap(self, weights: Array, part: list[tuple[int, int]], dy: int, dx: int) -> Iterator[str]:
        """What one place of the kernel adds, of all textures; nothing of what lies outside of the picture."""
        at = f"vec2({dx:.1f}, {dy:.1f})"
        products = []
        for source, group in part:
            if source:
                matrix = ", ".join(_vector(column) for column in _columns(weights, group))
                products.append(f"mat4({matrix}) * {self._name(source, group)}_texOff({at})")
            else:
                products.append(f"{_vector(weights[:, 0])} * luma({at})")
        inside = "" if (dy, dx) == (0, 0) else f"inside({at}) * "
        yield f"    r += {inside}({products[0]}{''.join(f' + {one}' for one in products[1:])});"

    def _last(self) -> Iterator[str]:
        scale, formula = self._net.scale, self._net.output
        layers = sorted({layer for layer in _layers_of(formula) if layer})
        binds = ["LUMA", *(self._name(layer, group) for layer in layers for group in range(self._groups(layer)))]
        yield from self._header(binds, "the enlarged picture")
        yield f"//!WIDTH LUMA.w {scale} *"
        yield f"//!HEIGHT LUMA.h {scale} *"
        yield "//!COMPONENTS 1"
        yield from self._helpers(reads_luma=False)
        yield "vec4 hook() {"
        yield "    vec2 place = LUMA_pos * LUMA_size;"
        yield "    vec2 cell = floor(place);"
        yield "    vec2 at = (cell + vec2(0.5)) * LUMA_pt;"
        yield f"    ivec2 inner = clamp(ivec2((place - cell) * {scale:.1f}), 0, {scale - 1});"
        yield f"    int number = inner.y * {scale} + inner.x;"
        for layer in layers:
            yield f"    float shuffled{layer} = 0.0;"
            for group in range(self._groups(layer)):
                places = ", ".join(str(4 * group + one) for one in range(4))
                chosen = f"vec4(equal(ivec4({places}), ivec4(number)))"
                yield f"    shuffled{layer} += dot({self._name(layer, group)}_tex(at), {chosen});"
        yield f"    float nearest0 = {self._normal('LUMA_tex(at).x')};"
        yield f"    return vec4({self._code(self._written(formula))}, 0.0, 0.0, 1.0);"
        yield "}"
        yield ""

    def _written(self, formula: Formula) -> str:
        if formula.kind in ("shuffled", "nearest"):
            return f"{formula.kind}{formula.layer}"
        parts = [self._written(part) for part in formula.parts]
        if formula.kind == "sum":
            return f"({' + '.join(parts)})"
        assert formula.activation is not None
        return _activated(parts[0], formula.activation, 0, is_vector=False)

    def _header(self, binds: list[str], about: str) -> Iterator[str]:
        yield "//!HOOK LUMA"
        yield f"//!DESC {self._title}: {about}"
        yield f"//!WHEN OUTPUT.w LUMA.w / {WORTH} > OUTPUT.h LUMA.h / {WORTH} > *"
        yield from (f"//!BIND {name}" for name in binds)

    def _helpers(self, *, reads_luma: bool) -> Iterator[str]:
        yield "float inside(vec2 offset) {"
        yield "    vec2 place = LUMA_pos * LUMA_size + offset;"
        yield "    return float(all(greaterThan(place, vec2(0.0))) && all(lessThan(place, LUMA_size)));"
        yield "}"
        if reads_luma:
            yield f"float luma(vec2 offset) {{ return {self._normal('LUMA_texOff(offset).x')}; }}"

    def _normal(self, code: str) -> str:
        """A code of the plane as the net knows it."""
        return f"({code} - {_number(self._black)}) * {_number(1 / self._span)}"

    def _code(self, value: str) -> str:
        return f"({value}) * {_number(self._span)} + {_number(self._black)}"


def _slots(net: ShaderNet) -> list[int]:
    """For each layer a number that no other layer has which is still needed while it is."""
    last = {number: number for number in range(len(net.layers))}
    for number, layer in enumerate(net.layers):
        last |= dict.fromkeys(layer.inputs, number)
    last |= dict.fromkeys(_layers_of(net.output), len(net.layers))
    slots: list[int] = []
    for number in range(len(net.layers)):
        taken = {slots[other] for other in range(number) if last[other] >= number}
        slots.append(next(slot for slot in range(number + 1) if slot not in taken))
    return slots


def _layers_of(formula: Formula) -> set[int]:
    own = {formula.layer} if formula.layer >= 0 else set()
    return own.union(*(_layers_of(part) for part in formula.parts))


def _columns(weights: Array, group: int) -> Iterator[Array]:
    """Weights of four inputs, those that there are not as 0."""
    for column in range(4 * group, 4 * group + 4):
        yield weights[:, column] if column < weights.shape[1] else np.zeros(len(weights), np.float32)


def _number(value: float) -> str:
    """As GLSL takes it, exact to float32."""
    text = f"{np.float32(value):.9g}"
    return text if any(sign in text for sign in ".e") else f"{text}.0"


def _vector(values: Array) -> str:
    """Up to four numbers as a vec4."""
    padded = [*map(float, values), 0.0, 0.0, 0.0, 0.0][:4]
    return f"vec4({', '.join(map(_number, padded))})"


def _activated(x: str, activation: Activation, group: int, *, is_vector: bool = True) -> str:
    slopes = activation.slopes
    kind = "vec4" if is_vector else "float"
    match activation.kind:
        case "relu":
            return f"max({x}, {kind}(0.0))"
        case "tanh":
            return f"tanh(clamp({x}, {kind}(-15.0), {kind}(15.0)))"  # some drivers' own gives NaN far out
        case "sigmoid":
            return f"({kind}(1.0) / ({kind}(1.0) + exp(-{x})))"
        case "prelu":
            assert slopes is not None
            own = np.repeat(slopes, 4) if slopes.size == 1 else slopes[4 * group : 4 * group + 4]
            slope = _vector(own) if is_vector else _number(float(own[0]))
            return f"(max({x}, {kind}(0.0)) + {slope} * min({x}, {kind}(0.0)))"
        case "clip":
            assert slopes is not None
            least, most = map(_number, map(float, slopes))
            return f"clamp({x}, {kind}({least}), {kind}({most}))"
        case _:
            assert slopes is not None
            factor, summand = map(_number, map(float, slopes))
            return f"({x} * {factor} + {kind}({summand}))"
