"""`upscale eval` as a person, and as a program, meets it."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from upscale_cli import cli


class Outcome:
    """What a run left on the screen."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def errors(self) -> list[str]:
        assert "Traceback" not in self.err, self.err
        return [line.removeprefix("error: ") for line in self.err.splitlines() if line.startswith("error: ")]

    @property
    def records(self) -> list[dict[str, object]]:
        return [json.loads(line, parse_constant=pytest.fail) for line in self.out.splitlines()]


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `upscale eval ...` in this process."""

    def run(*args: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["upscale", "eval", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return Outcome(ended.value.code if isinstance(ended.value.code, int) else 0, captured.out, captured.err)

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photographs, 48 x 60 and 60 x 48."""
    folder = tmp_path / "Photos"
    folder.mkdir()
    for name, height, width in (("a", 48, 60), ("b", 60, 48)):
        save(folder / f"{name}.png", height, width)
    return folder


def save(path: Path, height: int, width: int, mode: str = "RGB") -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(data.astronaut()[60 : 60 + height, 170 : 170 + width]).convert(mode).save(path)
    return path


def test_a_table_has_a_row_per_model_with_bicubic_first(run: Run, folder: Path) -> None:
    done = run(folder, "-m", "espcn", "-s", 2, "-s", 3)
    assert (done.code, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines() if line.strip()]
    titles = [" ".join(line) for line in lines if "pictures" in line]
    assert titles == ["Photos x2, 2 pictures", "Photos x3, 2 pictures"]
    heading = "model PSNR SSIM MS-SSIM PSNR rgb SSIM rgb s MP/s"
    assert [" ".join(line) for line in lines].count(heading) == 2
    models = [line for line in lines if line[0] in ("bicubic", "espcn")]
    assert [line[0] for line in models] == ["bicubic", "espcn", "bicubic", "espcn"]
    assert all(len(line) == 8 for line in models)
    assert models[0][3] == "n/a"  # MS-SSIM of pictures below 176 pixels
    assert float(models[1][1]) > float(models[0][1])
    assert "LR by bicubic; border cut by the scale" in done.out


def test_each_picture_has_its_rows_when_asked(run: Run, folder: Path) -> None:
    done = run(folder, "-m", "lanczos", "-s", 2, "--per-picture")
    rows = [line.split() for line in done.out.splitlines()]
    first_words = [words[:2] for words in rows if words and words[0] in ("a.png", "b.png", "mean")]
    assert first_words == [
        [name, model] for name in ("a.png", "b.png", "mean") for model in ("bicubic", "lanczos")
    ]  # fmt: skip


def test_the_default_is_the_best_model_here_at_scale_4(run: Run, folder: Path) -> None:
    records = run(folder, "--json").records
    assert [(record["model"], record["scale"]) for record in records] == [("bicubic", 4), ("photo-lite", 4)]


def test_json_has_a_line_per_row(run: Run, folder: Path) -> None:
    done = run(folder, "-m", "espcn", "-s", 2, "--json", "--per-picture")
    events = [(record["event"], record["picture"], record["model"]) for record in done.records]
    assert events == [
        ("score", "a.png", "bicubic"), ("score", "a.png", "espcn"), ("score", "b.png", "bicubic"),
        ("score", "b.png", "espcn"), ("mean", None, "bicubic"), ("mean", None, "espcn"),
    ]  # fmt: skip
    score = done.records[0]
    assert set(score) == {
        "event", "set", "scale", "model", "picture", "pictures", "psnr_y", "ssim_y", "ms_ssim_y", "psnr_rgb",
        "ssim_rgb", "seconds", "megapixels_per_second",
    }  # fmt: skip


def test_equal_pictures_have_no_number_for_json(run: Run, tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), "gray").save(tmp_path / "flat.png")
    (record,) = run(tmp_path / "flat.png", "-m", "bicubic", "-s", 2, "--json").records
    assert record["psnr_y"] is None
    assert "inf" in run(tmp_path / "flat.png", "-m", "bicubic", "-s", 2).out


def test_csv_goes_to_a_file_beside_the_table(run: Run, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "figures.csv"
    done = run(folder, "-m", "espcn", "-s", 2, "--per-picture", "--csv", file)
    assert "Photos x2, 2 pictures" in done.out
    with file.open(newline="", encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    assert [row["picture"] for row in rows] == ["a.png", "a.png", "b.png", "b.png", "", ""]
    assert [row["model"] for row in rows] == 3 * ["bicubic", "espcn"]
    assert rows[0]["ms_ssim_y"] == ""
    assert float(rows[0]["psnr_y"]) > 20
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["figures.csv"]


def test_csv_on_standard_output_is_alone_there(run: Run, folder: Path) -> None:
    done = run(folder, "-m", "bicubic", "-s", 2, "-s", 4, "--csv", "-")
    assert [row["scale"] for row in csv.DictReader(done.out.splitlines())] == ["2", "4"]


def test_a_csv_file_is_not_overwritten_unasked(run: Run, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "figures.csv"
    file.write_text("mine")
    refused = run(folder, "-m", "bicubic", "--csv", file)
    assert (refused.code, refused.out) == (1, "")
    assert refused.errors == [f"{file}: exists already. Give --overwrite to replace it, or another --csv."]
    assert file.read_text() == "mine"
    assert run(folder, "-m", "bicubic", "--csv", file, "--overwrite").code == 0
    assert file.read_text().startswith("set,scale,model,")


def test_a_csv_file_that_cannot_be_written_is_told(run: Run, folder: Path, tmp_path: Path) -> None:
    (message,) = run(folder, "-m", "bicubic", "--csv", tmp_path / "no folder/figures.csv").errors
    assert "cannot be written" in message


def test_bad_pictures_are_one_line_each_and_the_rest_is_measured(run: Run, tmp_path: Path) -> None:
    hr, lr = tmp_path / "hr", tmp_path / "lr"
    for name, height, width, mode in (
        ("good", 60, 80, "RGB"), ("size", 60, 80, "RGB"), ("alone", 60, 80, "RGB"), ("gray", 60, 80, "L"),
        ("small", 10, 12, "RGB"),
    ):  # fmt: skip
        save(hr / f"{name}.png", height, width, mode)
    sizes = {"good": (30, 40), "size": (31, 40), "gray": (30, 40), "small": (5, 6), "broken": (30, 40)}
    for name, (height, width) in sizes.items():
        save(lr / f"{name}x2.png", height, width)
    (hr / "broken.png").write_bytes(b"no picture")
    done = run("--hr", hr, "--lr", lr, "-m", "espcn", "--json")
    assert done.code == 1
    failures = [record for record in done.records if record["event"] == "failed"]
    failed = {Path(str(record["source"])).name: str(record["message"]) for record in failures}
    assert len(failed) == len(failures)
    assert set(failed) == {"size.png", "alone.png", "gray.png", "small.png", "broken.png"}
    assert "no whole multiple" in failed["size.png"]
    assert "has no LR of its name" in failed["alone.png"]
    assert "is gray" in failed["gray.png"]
    assert "too few" in failed["small.png"]
    assert all(message.startswith(str(hr)) and "\n" not in message for message in failed.values())
    means = [record for record in done.records if record["event"] == "mean"]
    facts = [(record["model"], record["pictures"], record["scale"]) for record in means]
    assert facts == [("bicubic", 1, 2), ("espcn", 1, 2)]


def test_an_empty_folder_is_told_and_the_others_are_measured(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run(tmp_path / "empty", folder, "-m", "bicubic", "-s", 2)
    assert done.code == 1
    (message,) = done.errors
    assert message.startswith(f"{tmp_path / 'empty'}: holds no pictures.")
    assert "Photos x2, 2 pictures" in done.out


def test_nothing_measured_is_a_failure(run: Run, tmp_path: Path) -> None:
    done = run(tmp_path / "missing", "-m", "bicubic")
    assert (done.code, done.out, len(done.errors)) == (1, "", 1)


def test_a_model_that_cannot_be_loaded_leaves_the_others(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(b"nothing")
    done = run(folder, "-m", tmp_path / "net.pth", "-m", "espcn", "-s", 2)
    assert done.code == 1
    assert len(done.errors) == 1
    assert "espcn" in done.out


def test_lr_can_be_made_otherwise(run: Run, folder: Path) -> None:
    def psnr(*options: object) -> object:
        return run(folder, "-m", "bicubic", "-s", 2, "--json", *options).records[0]["psnr_y"]

    changes: list[list[object]] = [["--lr-kernel", "area"], ["--lr-jpeg", 30], ["--channels", "luma"], ["--border", 9]]
    changes += [["--lr-blur", "gauss:1.6"], ["--lr-noise", 10], ["--lr-float"], ["--channels", "luma-full"]]
    changes += [["--lr-kernel", "every"], ["--lr-kernel", "bicubic-corner"]]
    figures = [psnr(), *(psnr(*options) for options in changes)]
    assert len(set(figures)) == len(figures)
    reported = run(folder, "-m", "bicubic", "-s", 2, "--lr-kernel", "area", "--lr-jpeg", 30, "--border", 9).out
    assert "LR by area and JPEG 30; border cut by 9 pixels" in " ".join(reported.split())
    options = ("--lr-blur", "gauss:2", "--lr-noise", 5, "--lr-float", "--channels", "luma")
    reported = " ".join(run(folder, "-m", "bicubic", "-s", 2, *options).out.split())
    assert "luma alone was upscaled; LR by gauss:2 and bicubic and noise 5, nothing rounded;" in reported


def test_a_model_gets_what_it_needs_and_bicubic_is_not_asked(run: Run, folder: Path) -> None:
    done = run(folder, "-m", "espcn", "-s", 2, "--condition", "level=1")
    assert done.code == 2
    assert "espcn takes nothing but the picture" in done.errors[0]
    assert run(folder, "-m", "espcn", "-s", 2, "--condition", "level").code == 2
    told = run(folder, "-m", "espcn", "-s", 2, "--kernel", "gauss:1.6")
    assert told.code == 2
    assert "espcn knows nothing of blur kernels" in told.errors[0]


def test_pictures_without_reference_get_niqe(run: Run, tmp_path: Path) -> None:
    picture = save(tmp_path / "a.png", 200, 200)
    (record,) = run(picture, "--no-reference", "--json").records
    assert (record["model"], record["scale"], record["seconds"]) == ("(as it is)", 1, 0)
    done = run(picture, "--no-reference", "-m", "espcn", "-s", 2)
    assert done.code == 0
    assert "NIQE" in done.out
    assert all(name in done.out for name in ("(as it is)", "bicubic", "espcn"))
    assert "PSNR" not in done.out
    small = run(save(tmp_path / "small.png", 64, 64), "--no-reference", "-m", "espcn", "-s", 2)
    assert small.code == 1
    (line,) = small.errors  # of bicubic's and of espcn's
    assert "small.png: NIQE needs" in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "there is nothing to measure"),
        (["--hr", "x"], "--hr goes with its counterpart"),
        (["--lr", "x"], "--lr goes with its counterpart"),
        (["x", "--hr", "x", "--lr", "x"], "exclude each other"),
        (["--no-reference", "--lr", "x"], "--no-reference and --lr exclude each other"),
        (["--no-reference", "x", "--border", "1"], "--border is about comparing"),
        (["--no-reference", "x", "--lpips"], "--lpips is about comparing"),
        (["--no-reference", "x", "--lr-jpeg", "9"], "--lr-jpeg is about comparing"),
        (["--no-reference", "x", "-s", "2"], "--scale needs something that upscales"),
        (["--hr", "x", "--lr", "y", "--lr-jpeg", "9"], "--lr is taken as it is"),
        (["--no-reference", "x", "--lr-blur", "gauss:1"], "--lr-blur is about comparing"),
        (["x", "--lr-float", "--lr-jpeg", "9"], "--lr-float and --lr-jpeg exclude each other"),
        (["x", "--lr-blur", "1.6"], "--lr-blur 1.6: there is no such file, and no such kind"),
        (["x", "--csv", "-", "--json"], "both want standard output"),
        (["x", "-m", "nothing"], "neither a name in the registry nor a file"),
        (["x", "-m", "espcn", "--device", "abacus"], "abacus"),
        (["x", "-m", "espcn", "--denoise", "0.5"], "--denoise does not go with espcn"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run: Run, options: list[str], message: str) -> None:
    done = run(*options)
    assert done.code == 2
    assert len(done.errors) == 1
    assert message in done.errors[0]


@pytest.mark.parametrize("options", [["x", "-s", "1"], ["x", "--lr-jpeg", "0"], ["x", "--lr-kernel", "sharp"]])
def test_values_out_of_range_are_wrong_usage(run: Run, options: list[str]) -> None:
    assert run(*options).code == 2


def test_names_that_look_like_markup_are_shown_as_they_are(run: Run, tmp_path: Path) -> None:
    folder = save(tmp_path / "[red]x" / "[bold]a.png", 40, 40).parent
    done = run(folder, "-m", "bicubic", "-s", 2, "--per-picture")
    assert "[red]x x2, 1 picture" in done.out
    assert "[bold]a.png" in done.out


def test_help_needs_neither_torch_nor_numpy() -> None:
    script = "import sys, upscale_cli.cli.verb_eval; print(sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_bar_is_drawn_on_a_terminal_only(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = run(folder, "-m", "bicubic", "-s", 2)
    assert plain.err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes standard error for a terminal
    drawn = run(folder, "-m", "bicubic", "-s", 2)
    assert "Photos x2" in drawn.err
    assert run(folder, "-m", "bicubic", "-s", 2, "--quiet").err == ""
