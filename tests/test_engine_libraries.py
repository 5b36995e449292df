"""The libraries of engines report their use to nobody, and write nothing into the user's folders."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

HOMES = ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")


def python(*arguments: str, home: Path) -> str:
    """What a process prints whose user has nothing yet."""
    silencing = ("ORT_DISABLE_TELEMETRY", "CI")  # with either of them there would be nothing to see
    environment = {name: value for name, value in os.environ.items() if name not in silencing}
    environment |= dict.fromkeys(HOMES, str(home)) | {"UPSCALE_OFFLINE": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300).stdout


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_picture_leaves_nothing_of_others_in_the_users_folders(engine: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed")
    home, picture = tmp_path / "home", tmp_path / "picture.png"
    home.mkdir()
    Image.new("RGB", (24, 16), (90, 120, 150)).save(picture)
    output = tmp_path / "large.png"
    python("-m", "upscale_cli", str(picture), "-o", str(output), "-m", "espcn", "--engine", engine, home=home)
    assert output.is_file()
    found = [path.relative_to(home) for path in home.rglob("*") if path.is_file()]
    assert not [path for path in found if "upscale-cli" not in path.parts]


def test_openvino_is_loaded_without_what_reports_and_its_converter_is_there_for_others(tmp_path: Path) -> None:
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("openvino is not installed")
    script = tmp_path / "script.py"
    script.write_text(
        """import sys
from upscale_cli.inference.backends import libraries

openvino = libraries.openvino()
assert openvino is libraries.openvino() is sys.modules["openvino"]
assert "openvino_telemetry" not in sys.modules and "openvino.tools.ovc" not in sys.modules
assert not hasattr(openvino, "no_such_thing")
sys.modules["openvino_telemetry"] = None  # nothing is sent by tests
print(openvino.convert_model.__module__)
""",
        encoding="utf-8",
    )
    assert python(str(script), home=tmp_path).strip() == "openvino.tools.ovc.convert"
