"""Checkpoints where people have them: folders of other programs, of the user, and the names that follow from them."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.albums import paint
from tests.command import Run
from tests.conftest import REPOSITORY
from upscale_cli import Upscaler
from upscale_cli.cli.options import complete_model
from upscale_cli.errors import UnknownModelError
from upscale_cli.models import other_programs
from upscale_cli.models.interface import Descriptor, InputSpec
from upscale_cli.models.other_programs import Surveyed, _surveyed
from upscale_cli.models.registry import MODELS
from upscale_cli.models.resolve import checkpoint_path
from upscale_cli.models.seen import remember, seen
from upscale_cli.models.store import bundled_folder, locate
from upscale_cli.models.user_files import user_file, user_files

NET = (bundled_folder() / "espcn-x2.safetensors").read_bytes()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home of our own."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setattr(other_programs, "home", lambda: folder)
    _surveyed.cache_clear()
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return paint(tmp_path / "photo.png", size=(30, 20))


def put(folder: Path, *names: str, content: bytes = NET) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return [folder / name for name in names]


def stems() -> dict[str, str]:
    """Stems, and whose they are."""
    return {file.stem: file.origin for file in user_files()}


def test_a_stem_is_a_model(home: Path, run: Run, photo: Path, tmp_path: Path) -> None:
    (path,) = put(home / "ComfyUI/models/upscale_models", "2x-Own_v1.safetensors")
    outcome = run(photo, "-m", "2X-own_v1", "-o", tmp_path / "large.png")
    assert outcome.code == 0, outcome.err
    by_path = run(photo, "-m", path, "-o", tmp_path / "same.png")
    assert by_path.code == 0
    assert (tmp_path / "large.png").read_bytes() == (tmp_path / "same.png").read_bytes()
    assert run("models", "path", "2x-Own_v1").out.strip() == str(path)
    assert run("models", "verify", "2x-Own_v1").out == f"unpinned  2x-Own_v1  {path}\n"
    assert f"{path}\nA checkpoint of espcn x2" in run("models", "info", "2x-Own_v1").out
    assert "2x-Own_v1" in complete_model("2x-")
    assert checkpoint_path("2x-own_V1.safetensors") == path, "with its ending, too"


def test_other_processes_get_the_path(home: Path) -> None:
    (path,) = put(home / "ComfyUI/models/upscale_models", "2x-Own.safetensors")
    upscaler = Upscaler("2x-Own")
    assert upscaler.recipe.model == str(path)
    assert upscaler.name == "2x-Own"
    assert Upscaler("espcn").recipe.model == "espcn"


def test_each_program_has_its_folders(home: Path) -> None:
    put(
        home / "ComfyUI/models/upscale_models", "a.pth", "sorted/in/folders/b.PTH", "too/deep/to/be/seen/c.pth", "d.txt"
    )
    put(
        home / "stable-diffusion-webui/models", "ESRGAN/e.pth", "RealESRGAN/f.pth", "SwinIR/g.pth", "Lora/h.safetensors"
    )
    put(home / "StabilityMatrix/Data/Models", "ESRGAN/i.pth")
    put(home / "somewhere", "j.safetensors", "below/k.safetensors")
    settings = home / ".config/chaiNNer/settings.json"
    remembered = {"chainner:pytorch:load_model-0": str(home / "somewhere"), "chainner:image:load-0": str(home)}
    put(settings.parent, "settings.json", content=json.dumps({"storage": {"lastDirectories": remembered}}).encode())
    found = _surveyed(home, (), "linux")
    assert not found.faults
    assert {(folder.path.name, folder.origin) for folder in found.folders} == {
        ("upscale_models", "ComfyUI"), ("ESRGAN", "stable-diffusion-webui"), ("RealESRGAN", "stable-diffusion-webui"),
        ("SwinIR", "stable-diffusion-webui"), ("ESRGAN", "Stability Matrix"), ("somewhere", "chaiNNer"),
    }  # fmt: skip
    if sys.platform == "linux":
        assert set(stems()) == {"a", "b", "e", "f", "g", "i", "j"}


@pytest.mark.parametrize(
    ("system", "environment", "data"),
    [
        ("linux", {}, ".config"),
        ("linux", {"XDG_CONFIG_HOME": "xdg"}, "xdg"),
        ("darwin", {}, "Library/Application Support"),
        ("win32", {}, "AppData/Roaming"),
        ("win32", {"APPDATA": "roaming"}, "roaming"),
    ],
)
def test_what_programs_have_written_down_counts_on_each_system(
    home: Path, system: str, environment: dict[str, str], data: str
) -> None:
    local = {"win32": "AppData/Local"}.get(system, data)
    for place in ("desktop", "cli", "extra"):
        put(home / place / "models/upscale_models", f"{place}.pth")
    put(home / data / "ComfyUI", "config.json", content=json.dumps({"basePath": str(home / "desktop")}).encode())
    extra = f"one:\n  base_path: {json.dumps(str(home / 'extra'))}\n  upscale_models: models/upscale_models/\n"
    put(home / data / "ComfyUI", "extra_models_config.yaml", content=extra.encode())
    ini = f"[DEFAULT]\nenable_tracking = False\nrecent_workspace = {home / 'cli'}\n"
    put(home / local / "comfy-cli", "config.ini", content=ini.encode())
    absolute = tuple((name, str(home / value)) for name, value in environment.items())
    found = _surveyed(home, absolute, system)
    assert {folder.path.parents[1].name for folder in found.folders} == {"desktop", "cli", "extra"}


def test_variables_of_other_programs_count(home: Path) -> None:
    put(home / "far/models/upscale_models", "a.pth")
    put(home / "models/SwinIR", "b.pth")
    environment = (("COMFYUI_PATH", str(home / "far")), ("SD_MODELSDIR", str(home / "models")))
    assert [folder.path for folder in _surveyed(home, environment, "linux").folders] == [
        home / "far/models/upscale_models", home / "models/SwinIR",
    ]  # fmt: skip


def survey(home: Path, text: str) -> Surveyed:
    put(home / "ComfyUI", "extra_model_paths.yaml", content=text.encode())
    return _surveyed(home, (), "linux")


def test_further_folders_of_comfyui_are_read_as_it_reads_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_MODELS", str(home / "own"))
    for place in ("a1111/models/ESRGAN", "a1111/models/SwinIR", "own/up", "ComfyUI/beside", "first"):
        put(home / place, "x.pth")
    found = survey(
        home,
        f"""
# a comment
a111:
    base_path: {json.dumps(str(home / "a1111"))}
    checkpoints: models/Stable-diffusion
    upscale_models: |
                  models/ESRGAN
                  models/RealESRGAN
                  models/SwinIR
others:
    upscale_models: |
        $OWN_MODELS/up
        beside
empty:
default:
    is_default: true
    base_path: ../first
    upscale_models: ./
""",
    )
    assert not found.faults
    assert [folder.path for folder in found.folders] == [
        home / "first", home / "a1111/models/ESRGAN", home / "a1111/models/SwinIR", home / "own/up",
        home / "ComfyUI/beside",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [1, 2\nb: }", "is not YAML from line 2 on"),
        ("a: !!python/object/apply:os.system ['touch ran']", "is not YAML from line 1 on"),
        ("- a\n- b\n", ""),
        ("a: 7\nb:\n  upscale_models: [1, 2]\n  base_path: 3\n", ""),
        ('a:\n  upscale_models: "x\\0y"\n', ""),
        ("", ""),
    ],
)
def test_settings_that_are_none_are_told_and_end_no_run(home: Path, run: Run, text: str, fault: str) -> None:
    found = survey(home, text)
    assert found.folders == ()
    assert [fault in line and "extra_model_paths.yaml" in line for line in found.faults] == [True] * bool(fault)
    outcome = run("models", "list")
    assert outcome.code == 0
    if fault and sys.platform == "linux":
        assert fault in outcome.err


def test_of_two_files_the_first_is_taken_and_said(home: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    (own,) = put(home / "own", "2x-Own.safetensors")
    (other,) = put(home / "ComfyUI/models/upscale_models", "2x-own.pth")
    monkeypatch.setenv("UPSCALE_WEIGHTS", str(home / "own"))
    said: list[str] = []
    assert checkpoint_path("2x-Own", say=said.append) == own
    assert said == [f"2x-Own: {own} is taken; of the same name, and not taken: {other}"]
    assert checkpoint_path("2x-own.pth") == other
    listed = run("models", "list")
    assert listed.out.count("2x-") == 1
    assert f"{own} is taken, and not {other}" in listed.err


def test_a_name_of_the_registry_wins(home: Path) -> None:
    put(home / "ComfyUI/models/upscale_models", "espcn.pth", "RealESRGAN_x4plus.pth", "4x-UltraSharp.pth")
    assert set(stems()) == {"4x-UltraSharp"}
    assert checkpoint_path("espcn") is None
    assert checkpoint_path("RealESRGAN_x4plus") is None


def test_an_official_file_of_another_program_is_not_fetched(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = dataclasses.replace(MODELS[0], size=len(NET), sha256=hashlib.sha256(NET).hexdigest())
    assert locate(spec) is None
    _surveyed.cache_clear()
    (path,) = put(home / "ComfyUI/models/upscale_models", spec.file)
    said: list[str] = []
    found = locate(spec, say=said.append)
    assert found is not None
    assert (found.path, found.pinned) == (path, True)
    path.write_bytes(NET[:-1] + b"\0")
    os.utime(path, ns=(1, 1))
    assert locate(spec, say=said.append) is None
    assert said == [], "what others have under that name is theirs"
    monkeypatch.setenv("UPSCALE_WEIGHTS", str(path.parent))
    assert locate(spec, say=said.append) is None
    assert len(said) == 1


def test_unknown_names_get_the_users_too(home: Path) -> None:
    put(home / "ComfyUI/models/upscale_models", "4x-UltraSharp.pth")
    with pytest.raises(UnknownModelError, match="Did you mean 4x-UltraSharp"):
        checkpoint_path("4x-UltraShrp")
    with pytest.raises(UnknownModelError, match="Did you mean realesrgan"):
        checkpoint_path("realesrgn")


def test_a_path_that_is_there_goes_before_all(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(home / "ComfyUI/models/upscale_models", "own.pth")
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "own.pth")
    assert checkpoint_path("own.pth") == Path("own.pth")
    assert checkpoint_path("gone/own.pth") == Path("gone/own.pth")


def test_folders_are_added_and_forgotten(home: Path, run: Run) -> None:
    put(home / "collection", "2x-Own.safetensors", "sorted/2x-Other.safetensors")
    put(home / "elsewhere/Comfy/models/upscale_models", "4x-Third.pth")
    assert str(home / "collection") in run("models", "path", "--add", home / "collection").out
    assert run("models", "path", "--add", home / "elsewhere/Comfy").code == 0
    assert run("models", "path", "--add", home / "collection").code == 0, "twice is no fault"
    assert stems() == {"2x-Own": "added", "2x-Other": "added", "4x-Third": "ComfyUI"}
    assert "is no folder" in run("models", "path", "--add", home / "none").line
    assert str(home / "collection") not in run("models", "path", "--forget", home / "collection").out
    assert stems() == {"4x-Third": "ComfyUI"}
    assert f"Those that were are {home / 'elsewhere/Comfy'}" in run("models", "path", "--forget", home / "x").line


def test_the_list_knows_what_was_loaded_and_what_it_needs(home: Path, run: Run) -> None:
    loaded, unknown, wanting = put(
        home / "ComfyUI/models/upscale_models", "2x-Own.safetensors", "4x-New.pth", "4x-Blur.pth"
    )
    inputs = (
        InputSpec(name="kernel", shape=(None, None)), InputSpec(name="noise"), InputSpec(name="strength", default=1.0),
        InputSpec(name="scale"),
    )  # fmt: skip
    remember(wanting, Descriptor(arch="usrnet", scales=(4,), halo=1, inputs=inputs))
    before = run("models", "list").out
    assert "espcn" not in next(line for line in before.splitlines() if line.startswith("2x-Own"))
    assert run("models", "info", "2x-Own").code == 0
    listed = {line.split()[0]: line for line in run("models", "list").out.splitlines()}
    assert "x2" in listed["2x-Own"]
    assert "from ComfyUI, espcn of 3 convolutions" in listed["2x-Own"]
    assert listed["4x-New"].rstrip().endswith("from ComfyUI")
    assert "needs kernel, noise; takes strength" in listed["4x-Blur"]
    records = [json.loads(line) for line in run("models", "list", "--json").out.splitlines()]
    of_user = {record["model"]: record for record in records if "origin" in record}
    assert of_user["4x-Blur"]["inputs"] == ["kernel", "noise"]
    assert "arch" not in of_user["4x-New"]
    loaded.write_bytes(unknown.read_bytes())
    os.utime(loaded, ns=(1, 1))
    assert seen(loaded) is None, "it has changed since"


def test_folders_that_cannot_be_read_are_left_out(home: Path) -> None:
    put(home / "ComfyUI/models/upscale_models", "a.pth")
    broken = home / "ComfyUI/models/upscale_models/broken.pth"
    circle = home / "ComfyUI/models/upscale_models/circle"
    try:
        broken.symlink_to(home / "gone.pth")
        circle.symlink_to(home / "ComfyUI/models/upscale_models", target_is_directory=True)
    except OSError:
        pytest.skip("links cannot be made here")
    file = user_file("a")
    assert file is not None
    assert file.others == ()
    assert set(stems()) == {"a"}


def test_listing_and_completion_load_no_torch(tmp_path: Path) -> None:
    put(tmp_path / "weights", "2x-Own.safetensors")
    environment = {**os.environ, "UPSCALE_WEIGHTS": str(tmp_path / "weights"), "HOME": str(tmp_path)}
    code = (
        "import sys\nfrom upscale_cli.cli.options import complete_model\n"
        "from upscale_cli.cli.models_report import show_list\n"
        "assert '2x-Own' in complete_model('2x')\nshow_list(print, as_json=True)\n"
        "assert not {'torch', 'numpy', 'ssl', 'yaml'} & {*sys.modules}, sorted(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=REPOSITORY, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert '"model": "2x-Own"' in done.stdout
