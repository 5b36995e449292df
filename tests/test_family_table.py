"""What `benchmarks/family.py` reads off cards, and the tables that it makes."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import family
from benchmarks.family_published import ORIGIN, PUBLISHED
from tests.conftest import SHARED

ROW: dict[str, Any] = {
    "name": "net-x2", "licence": "MIT; of the weights", "scale": 2, "way": "--lr-float", "net": "vdsr", "year": 2016,
    "parameters": 1000, "macs": 2000, "seconds": 0.5, "here": {"Set5": 37.61, "B100": 31.2}, "card": 37.7,
    "published": {"Set5": 37.53}, "source": "VDSR", "why": "a reason",
}  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "kind", "figures"),
    [
        (["PSNR on Set5, MATLAB-style bicubic, dB, bicubic -> this net: 33.69 -> 34.79"], "MATLAB", {2: 34.79}),
        (["MATLAB ...", "same, but by OpenCV INTER_CUBIC: 34.43 -> 35.94"], "INTER_CUBIC", {2: 35.94}),
        (["PSNR on Set5: x2 33.69 -> 37.64, x4 28.43 -> 31.45"], "Set5", {2: 37.64, 4: 31.45}),
        (["loads strictly"], "Set5", {}),
    ],
)
def test_a_card_s_figures(lines: list[str], kind: str, figures: dict[int, float]) -> None:
    assert family.card_figures({"scale": 2, "verified": lines}, kind) == figures


def test_a_row_shows_what_is_there_and_what_misses_is_named() -> None:
    failing = {"name": "odd", "licence": "", "fails": "is of no architecture"}
    untrained = [{"name": "srntt", "system": "SRNTT", "licence": "Apache-2.0", "why": "none"}]
    text = family.tables([ROW, failing], untrained)
    row = "| net-x2 | vdsr | 2016 | x2 | `--lr-float` | 1,000 | 2,000 | 37.61, 37.70 |  | 31.20 | 37.53 | 0.50 | MIT |"
    assert row in text
    assert "from the card: net-x2 x2 (37.61 for 37.70)." in text
    assert "- `net-x2`: a reason" in text
    assert "- `odd`: is of no architecture" in text
    assert "| srntt | SRNTT | Apache-2.0 | none |" in text


def test_what_is_published_has_a_source() -> None:
    assert {name for name, figures in PUBLISHED.items() if figures} == set(ORIGIN)


@pytest.mark.slow
def test_a_checkpoint_is_measured_beside_its_card() -> None:
    sets = SHARED / "eval/Set5"
    if not sets.is_dir():
        pytest.skip("the shared folder with test sets is not here")
    bench = family.Bench({"Set5": sorted(sets.glob("*.png"))}, "torch", 0)
    (checkpoint,) = (one for one in family.checkpoints(SHARED) if one.name == "fsrcnn-tf-x3")
    field, aliased = bench.rows(checkpoint)
    assert field["here"]["Set5"] == pytest.approx(30.6, abs=family.TOLERANCE)
    assert aliased["here"]["Set5"] == pytest.approx(30.61, abs=family.TOLERANCE)
    assert (field["card"], aliased["card"], field["parameters"], field["year"]) == (30.6, 30.61, 8777, 2016)


def test_what_does_not_load_is_a_row_that_says_why(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"nothing")
    (row,) = family.Bench({}, "torch", 0).rows(family.Checkpoint("net", str(path), {"licence": "MIT"}))
    assert "no checkpoint" in row["fails"]


def test_some_rows_measured_anew_stand_where_they_belong() -> None:
    kept = [{"name": "carn", "macs": 1}, {"name": "espcn", "macs": 2}, {"name": "gone", "macs": 3}]
    found = [{"name": "espcn", "macs": 20}, {"name": "edsr", "macs": 4}]
    rows = family.renewed(kept, found, ["carn", "edsr", "espcn"])
    assert [(row["name"], row["macs"]) for row in rows] == [("carn", 1), ("edsr", 4), ("espcn", 20)]
