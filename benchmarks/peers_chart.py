"""The chart of `peers.json` that the README shows: one panel a net, one bar an engine and precision. Plain SVG.

python -m benchmarks.peers_chart    draws docs/peers.svg again from benchmarks/peers.json
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.report import REPOSITORY, json_of
from benchmarks.svg import document, text

WIDTH: Final = 800
LABELS: Final = 280
VALUES: Final = 150
BAR: Final = 16
GAP: Final = 5
HEAD: Final = 34

COLOURS: Final = {"fp32": "#7a8794", "half": "#4f8fb8", "int8": "#b99a5b"}
OURS: Final = {"fp32": "#c2562d", "half": "#e07b39", "int8": "#eda55d"}
NAMES: Final = {"fp32": "fp32", "half": "half precision", "int8": "int8"}


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of a panel: a label, how many in a second, and what is written behind it."""

    label: str
    rate: float
    value: str
    colour: str
    bold: bool


def draw(result: dict[str, Any]) -> str:
    """The SVG of what `peers.py` found."""
    panels = [(f"{name}, {net['picture'][1]} x {net['picture'][0]}", list(net_bars(net))) for name, net in
              result["nets"].items()]  # fmt: skip
    if result.get("clips"):
        size = result["clips"]["size"]
        panels.append(
            (f"a clip, {size[1]} x {size[0]} to {2 * size[1]} x {2 * size[0]}, with encoding", list(clip_bars(result)))
        )
    parts: list[str] = []
    y = 74
    for title, bars in panels:
        parts += panel(title, bars, y)
        y += HEAD + len(bars) * (BAR + GAP) + 8
    machine = result.get("machine", {})
    about = (
        f"{machine.get('cpu', '')}, {result['threads']} threads; the fastest setting of each, "
        f"{result['rounds']} rounds in turn"
    )
    head = [
        text(16, 24, "The same nets by different engines; longer is faster", size=16, bold=True),
        text(16, 42, about, size=11, colour="#555"),
        *legend(54),
    ]
    return document(WIDTH, y, "Speed of engines on the same nets", [*head, *parts])


def net_bars(net: dict[str, Any]) -> Iterator[Bar]:
    """The fastest setting of each engine and kind, the fastest first."""
    best: dict[tuple[str, str], dict[str, Any]] = {}
    for row in net["rows"]:
        if "failed" in row:
            continue
        key = row["engine"], row["kind"]
        if key not in best or row["median_s"] < best[key]["median_s"]:
            best[key] = row
    for row in sorted(best.values(), key=lambda row: float(row["median_s"])):
        is_ours, kind = row["engine"] == "ours", row["kind"]
        near = "" if kind == "fp32" else f", {row['db_to_fp32']:.0f} dB"
        yield Bar(
            f"{row['engine']} {row['setting']}", 1 / row["median_s"], f"{1000 * row['median_s']:.0f} ms{near}",
            (OURS if is_ours else COLOURS)[kind], is_ours,
        )  # fmt: skip


def clip_bars(result: dict[str, Any]) -> Iterator[Bar]:
    """Frames per second, the fastest first."""
    found = [(name, row) for name, row in result["clips"]["candidates"].items() if "fps" in row]
    for name, row in sorted(found, key=lambda pair: -float(pair[1]["fps"])):
        is_ours = name.startswith("ours")
        yield Bar(name, row["fps"], f"{row['fps']:.1f} fps", OURS["fp32"] if is_ours else "#b8bec4", is_ours)


def panel(title: str, bars: list[Bar], y: float) -> Iterator[str]:
    """A heading and its bars; lengths are relative to the fastest."""
    yield text(16, y + 22, title, size=13, bold=True)
    most = max((bar.rate for bar in bars), default=1.0)
    room = WIDTH - LABELS - VALUES
    for number, bar in enumerate(bars):
        top = y + HEAD + number * (BAR + GAP)
        length = max(1.0, room * bar.rate / most)
        yield text(LABELS - 8, top + 12, bar.label, size=11, bold=bar.bold, anchor="end")
        yield f"<rect x='{LABELS}' y='{top}' width='{length:.1f}' height='{BAR}' rx='2' fill='{bar.colour}'/>"
        yield text(LABELS + length + 6, top + 12, bar.value, size=11, bold=bar.bold)


def legend(y: float) -> Iterator[str]:
    """What the colours mean."""
    x = 16
    for who, colours in (("peers", COLOURS), ("ours", OURS)):
        for kind, colour in colours.items():
            yield f"<rect x='{x}' y='{y}' width='10' height='10' rx='2' fill='{colour}'/>"
            words = f"{who}, {NAMES[kind]}"
            yield text(x + 14, y + 9, words, size=10, colour="#555")
            x += 30 + round(5.2 * len(words))


def main() -> None:
    """Draws the chart of the JSON that is there."""
    result = json_of("peers")
    (REPOSITORY / "docs/peers.svg").write_text(draw(result), encoding="utf-8")


if __name__ == "__main__":
    main()
