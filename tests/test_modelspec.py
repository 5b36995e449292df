"""What safetensors files say of themselves: shown where others wrote it, and written into ours."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from PIL import Image

from tests.command import Run
from training.files import write_safetensors
from upscale_cli import Upscaler, export_model
from upscale_cli.errors import OutputError
from upscale_cli.export import checkpoint
from upscale_cli.models.bare import load_model
from upscale_cli.models.interface import SidecarMetadata
from upscale_cli.models.modelspec import digest, fits, stated
from upscale_cli.models.store import bundled_folder

BUNDLED = bundled_folder() / "espcn-x2.safetensors"


def metadata_of(path: Path) -> dict[str, str]:
    """As the format's own library reads it."""
    with safetensors.safe_open(path, "pt") as file:
        return dict(file.metadata())


def body_of(path: Path) -> bytes:
    data = path.read_bytes()
    return data[8 + int.from_bytes(data[:8], "little") :]


def with_metadata(path: Path, **words: str) -> Path:
    """The bundled net, with metadata of others."""
    own = metadata_of(BUNDLED)
    metadata = {**own, **{f"modelspec.{key}": text for key, text in words.items()}}
    for name in ("licence", "license"):
        metadata.pop(name, None)
    safetensors.torch.save_file(safetensors.torch.load_file(BUNDLED), path, metadata)
    return path


def test_what_a_file_states_is_shown(run: Run, tmp_path: Path) -> None:
    path = with_metadata(
        tmp_path / "own.safetensors", sai_model_spec="1.0.0", architecture="ESPCN", title="Own 1.0", author="anna",
        license="CC-BY-4.0", date="2024-02-30", description="Made\nfor\x1b[31m scans.", usage_hint="Clean input",
    )  # fmt: skip
    shown = run("models", "info", path).out
    for label, text in {
        "title": "Own 1.0", "author": "anna", "licence": "CC-BY-4.0", "stated net": "ESPCN", "usage": "Clean input",
    }.items():  # fmt: skip
        assert any(line.split(maxsplit=len(label.split()))[-1] == text for line in shown.splitlines() if label in line)
    assert "\x1b" not in shown, "control characters are escaped"
    record = json.loads(run("models", "info", path, "--json").out)
    assert record["stated"]["author"] == "anna"
    assert record["notes"] == ""
    listed = run("models", "list")
    assert listed.code == 0


def test_a_licence_that_was_seen_is_in_the_list(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_metadata(tmp_path / "2x-Own.safetensors", license="CC-BY-4.0", author="anna")
    monkeypatch.setenv("UPSCALE_WEIGHTS", str(tmp_path))
    run("models", "info", "2x-Own")
    Upscaler("2x-Own")
    (line,) = (line for line in run("models", "list").out.splitlines() if line.startswith("2x-Own"))
    assert "CC-BY-4.0" in line, "to use it makes nobody forget it"


def test_tensors_of_another_sum_are_told(run: Run, tmp_path: Path) -> None:
    path = with_metadata(tmp_path / "own.safetensors", hash_sha256=f"0x{hashlib.sha256(body_of(BUNDLED)).hexdigest()}")
    assert fits(metadata_of(path), path.read_bytes())
    assert "hash_sha256" not in run("models", "info", path).out
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert "its tensors are not those that its modelspec.hash_sha256 is of" in run("models", "info", path).out


def test_nonsense_is_left_out() -> None:
    facts = {"modelspec.title": "", "modelspec.author": None, "modelspec.tags": ["a", "b"], "modelspec.date": " x\n y "}
    assert stated(facts) == {"tags": '["a", "b"]', "date": "x y"}
    assert stated({}) == {}
    assert len(stated({"modelspec.description": "x" * 10_000})["about"]) < 1000


def test_the_stated_architecture_stands_in_where_no_card_names_one() -> None:
    assert SidecarMetadata.read({"modelspec.architecture": "FSRCNN"}).arch == "fsrcnn"
    assert SidecarMetadata.read({"modelspec.architecture": "FSRCNN", "arch": "PISR"}).arch == "pisr"


def test_trainings_write_the_standards_keys(tmp_path: Path) -> None:
    tensors = {"b": torch.arange(6.0).reshape(2, 3).T, "a": torch.ones(2, dtype=torch.float16)}
    path = tmp_path / "deep/own-x2.safetensors"
    write_safetensors(path, tensors, {"arch": "espcn", "licence": "MIT", "data": "made up"})
    metadata = metadata_of(path)
    assert metadata == {
        "arch": "espcn", "licence": "MIT", "data": "made up", "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "espcn", "modelspec.implementation": "upscale_cli", "modelspec.title": "own-x2",
        "modelspec.license": "MIT", "modelspec.hash_sha256": digest(body_of(path)),
    }  # fmt: skip
    read = safetensors.torch.load_file(path)
    assert all(torch.equal(read[key], tensors[key]) for key in tensors)
    first = path.read_bytes()
    write_safetensors(path, dict(reversed(tensors.items())), {"data": "made up", "licence": "MIT", "arch": "espcn"})
    assert path.read_bytes() == first


@pytest.mark.parametrize("fp16", [False, True])
@pytest.mark.parametrize("model", ["espcn", "espcn-robust", "photo-lite"])
def test_an_exported_checkpoint_is_the_same_net(model: str, fp16: bool, run: Run, tmp_path: Path) -> None:
    made = export_model(model, tmp_path / "net.safetensors", scale=4, fp16=fp16)
    assert made.format == "safetensors"
    metadata = metadata_of(made.output)
    assert metadata["modelspec.hash_sha256"] == digest(body_of(made.output))
    assert metadata["modelspec.license"] == metadata["licence"]
    dtypes = {tensor.dtype for tensor in safetensors.torch.load_file(made.output).values()}
    assert dtypes == {torch.float16 if fp16 else torch.float32}
    if not fp16:
        photo = tmp_path / "photo.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(photo)
        for name, output in ((model, "by_name.png"), (made.output, "by_file.png")):
            assert run(photo, "-m", name, "-s", 4, "-o", tmp_path / output).code == 0
        assert (tmp_path / "by_name.png").read_bytes() == (tmp_path / "by_file.png").read_bytes()


def test_what_others_stated_goes_along(tmp_path: Path) -> None:
    source = with_metadata(tmp_path / "own.safetensors", author="anna", license="CC-BY-4.0")
    made = export_model(source, tmp_path / "net.safetensors")
    assert {key: metadata_of(made.output)[f"modelspec.{key}"] for key in ("author", "license", "title")} == {
        "author": "anna", "license": "CC-BY-4.0", "title": "own",
    }  # fmt: skip
    assert load_model(made.output).descriptor == load_model(source).descriptor


def test_a_net_that_could_not_be_read_again_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "recognise", lambda *_: None)
    with pytest.raises(OutputError, match="stands neither in its keys"):
        export_model("espcn", tmp_path / "net.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_options_of_graphs_are_none_of_checkpoints(run: Run, tmp_path: Path) -> None:
    refused = run("export", "espcn", "-o", tmp_path / "net.safetensors", "--input-size", "64x64")
    assert "--input-size is for ONNX and OpenVINO" in refused.line
