"""What the charts share: text, and curves on a logarithmic axis. Plain SVG, so that a chart is a few lines of text."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

FONT: Final = "font-family='system-ui, sans-serif'"
PALETTE: Final = ("#4f8fb8", "#c2562d", "#5d8a3c", "#7d5ba6")

Curve = Sequence[tuple[float, float]]


def document(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    """The whole file."""
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:g} {height:g}' width='{width:g}' "
        f"height='{height:g}' role='img' aria-label='{escape(title)}'>"
    )
    return "\n".join([head, f"<rect width='{width:g}' height='{height:g}' fill='white'/>", *parts, "</svg>"]) + "\n"


def text(
    x: float, y: float, words: str, *, size: int, bold: bool = False, anchor: str = "start", colour: str = "#222"
) -> str:
    """One line of text."""
    weight = " font-weight='600'" if bold else ""
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' {FONT} font-size='{size}'{weight} text-anchor='{anchor}' fill='{colour}'>"
        f"{escape(words)}</text>"
    )


def curves(
    x: float, y: float, width: float, height: float, title: str, unit: str, named: Mapping[str, Curve]
) -> Iterator[str]:
    """A panel of curves: a logarithmic axis to the right, a linear one from 0 upwards.

    Args:
        x, y: its upper left corner.
        unit: of the axis to the right.
        named: points by the name of the curve; x above 0.
    """
    left, right, top, bottom = x + 44, x + width - 12, y + 30, y + height - 34
    points = [point for curve in named.values() for point in curve]
    least, most = (math.log10(end(point[0] for point in points)) for end in (min, max))
    highest = 1.15 * max(point[1] for point in points)

    def place(point: tuple[float, float]) -> tuple[float, float]:
        share = (math.log10(point[0]) - least) / max(most - least, 1e-9)
        return left + share * (right - left), bottom - point[1] / highest * (bottom - top)

    yield text(x + 8, y + 16, title, size=12, bold=True)
    yield f"<path d='M{left} {top}V{bottom}H{right}' fill='none' stroke='#888'/>"
    for part in (0.25, 0.5, 0.75, 1):
        level = bottom - part * (bottom - top)
        yield f"<path d='M{left} {level:.1f}H{right}' stroke='#e4e4e4'/>"
        yield text(left - 4, level + 4, f"{part * highest:.3g}", size=10, anchor="end", colour="#555")
    for power in range(math.ceil(least - 1e-9), math.floor(most + 1e-9) + 1):
        across, _ = place((10.0**power, 0))
        yield text(across, bottom + 13, f"{10.0**power:g}", size=10, anchor="middle", colour="#555")
    yield text((left + right) / 2, bottom + 27, unit, size=10, anchor="middle", colour="#555")
    for number, (name, curve) in enumerate(named.items()):
        colour = PALETTE[number % len(PALETTE)]
        places = [place(point) for point in curve]
        line = " ".join(f"{across:.1f},{up:.1f}" for across, up in places)
        yield f"<polyline points='{line}' fill='none' stroke='{colour}' stroke-width='2'/>"
        yield from (f"<circle cx='{across:.1f}' cy='{up:.1f}' r='2.5' fill='{colour}'/>" for across, up in places)
        yield text(right, bottom - 8 - 14 * number, name, size=11, anchor="end", colour=colour, bold=True)
