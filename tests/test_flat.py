"""benchmarks/flat.py with sizes that take a second: that its parts run, and that the chart shows what they found."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from benchmarks import flat, many_sizes


@pytest.mark.slow
def test_time_per_megapixel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat, "MEGAPIXELS", (0.01, 0.02))
    found = flat.megapixels("torch", quick=True)
    assert list(found["points"]) == ["0.01", "0.02"]
    assert all(seconds > 0 for seconds in found["points"].values())
    assert found["most_to_median"] >= 1


@pytest.mark.slow
def test_time_per_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat, "FRAMES", (4, 9))
    found = flat.frames("torch", quick=True)
    assert list(found["points"]) == ["4", "9"]
    assert all(ms > 0 for ms in found["points"].values())


@pytest.mark.slow
def test_memory_over_sizes() -> None:
    found = many_sizes.run(110, "espcn", "torch")
    assert {"1", "100", "110"} <= found["resident_mb"].keys()
    assert found["most_mb"] >= found["resident_mb"]["110"]


def test_the_gray_picture_has_the_size_that_was_asked_for() -> None:
    assert flat.gray(300, 700).shape == (300, 700, 1)


def result(*curve: float) -> dict[str, Any]:
    points = dict(zip(("100", "1000", "10000"), curve, strict=True))
    return {"points": points, "resident_mb": points}


def test_a_flat_curve_is_drawn_flat_and_a_steep_one_is_not() -> None:
    engines = {"torch": result(2, 2, 2), "openvino": result(1, 2, 3)}
    root = ET.fromstring(flat.draw(dict.fromkeys(flat.PARTS, engines)))
    lines = [line.get("points", "").split() for line in root.iter("{http://www.w3.org/2000/svg}polyline")]
    assert len(lines) == 2 * len(flat.PARTS)
    ups = [[float(place.split(",")[1]) for place in line] for line in lines[:2]]
    assert len(set(ups[0])) == 1
    assert ups[1][0] > ups[1][1] > ups[1][2]  # down the page is less
    across = [float(place.split(",")[0]) for place in lines[0]]
    assert across[1] - across[0] == pytest.approx(across[2] - across[1], abs=0.2)
