"""OpenModelDB's models against a local server: searched, agreed to, fetched, verified; what is kept of the index."""

import dataclasses
import hashlib
import importlib.util
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.albums import paint
from tests.command import Run
from tests.conftest import REPOSITORY, SHARED
from tests.server import Answer, Handler, Server, status, web_page, whole
from upscale_cli.errors import CheckpointError, FetchError, UnknownModelError
from upscale_cli.models import other_programs, store, zoo_fetch, zoo_index
from upscale_cli.models.download import Patience
from upscale_cli.models.registry import MODELS
from upscale_cli.models.store import bundled_folder
from upscale_cli.models.zoo import model_of, read_models, search
from upscale_cli.models.zoo_fetch import agree, has_to_agree, located, obtain_zoo, zoo_model
from upscale_cli.models.zoo_index import current_index
from upscale_cli.models.zoo_kept import FILE, cached_index

NET = (bundled_folder() / "espcn-x2.safetensors").read_bytes()
SHA256 = hashlib.sha256(NET).hexdigest()
HASTY = Patience(timeout_seconds=20, failures=2, pause_seconds=0.001, longest_pause_seconds=0.01)


def entry(*urls: str, **changed: Any) -> dict[str, Any]:
    """A model as the index has it, whose file is ours."""
    resource = {"platform": "pytorch", "type": "safetensors", "size": len(NET), "sha256": SHA256, "urls": list(urls)}
    facts = {
        "name": "Own", "author": "somebody", "license": "MIT", "tags": ["photo"], "date": "2024-05-01",
        "architecture": "espcn", "size": ["3 layers"], "scale": 2, "inputChannels": 3, "outputChannels": 3,
        "resources": [resource], "description": "not looked at",
    }  # fmt: skip
    return {**facts, **changed}


class Zoo:
    """The site, and a host of files.

    Attributes:
        index: what the site has; may be changed.
        answers: of the host, by path.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.index: dict[str, Any] = {}
        self.answers: dict[str, Answer] = {}

    def url(self, path: str) -> str:
        return f"{self.server.url}/{path}"

    def answer(self, handler: Handler) -> None:
        if handler.path != "/api/v1/models.json":
            return self.answers.get(handler.path, whole)(handler)
        body = json.dumps(self.index).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()}"'
        if handler.headers["If-None-Match"] == etag:
            return status(304)(handler)
        return status(200, body, ETag=etag, Content_Type="application/json")(handler)

    @property
    def asked(self) -> list[str]:
        return [request.path for request in self.server.requests]


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zoo]:
    monkeypatch.setenv("UPSCALE_OFFLINE", "0")
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with Server(NET, lambda handler: site.answer(handler)) as server:
        site = Zoo(server)
        monkeypatch.setattr(zoo_index, "ADDRESS", site.url("api/v1/models.json"))
        monkeypatch.setattr(zoo_index, "FRESH_SECONDS", 0.0)
        site.index = {
            "2x-Own": entry(site.url("own.safetensors")),
            "2x-Closed": entry(site.url("own.safetensors"), license="CC-BY-NC-SA-4.0", author=["anna", "ben"]),
            "4x-Anime": entry(site.url("a.pth"), scale=4, tags=["anime"], license="CC-BY-4.0", date="2025-01-01"),
            "4x-Anime-Old": entry(site.url("b.pth"), scale=4, tags=["anime"], license=None, date="2020-01-01"),
            "4x-Else": entry(
                site.url("else.pth"),
                resources=[{"type": "pth", "size": 7, "sha256": "0" * 64, "urls": [site.url("else.pth")]}],
            ),
            "1x-Paged": entry("https://mega.nz/file/a#b", "https://drive.google.com/open?id=1", scale=1),
        }
        yield site


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return paint(tmp_path / "photo.png", size=(30, 20))


def opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
        return picture


# The index


@pytest.mark.usefixtures("zoo")
def test_a_search_shows_what_is_meant_the_newest_first(run: Run) -> None:
    lines = run("models", "search", "anime", "-s", 4).out.splitlines()
    assert [line.split()[0] for line in lines] == ["-m", "omdb:4x-Anime", "omdb:4x-Anime-Old"]
    assert "CC-BY-4.0" in lines[1]
    assert "none stated" in lines[2]
    assert "omdb:4x-Anime-Old" not in run("models", "search", "anime", "--licence", "free").out
    closed = run("models", "search", "--licence", "non-commercial", "--json").out
    assert [json.loads(line)["id"] for line in closed.splitlines()] == ["2x-Closed"]
    assert [json.loads(line)["id"] for line in run("models", "search", "BEN", "--json").out.splitlines()] == [
        "2x-Closed"
    ]
    assert "Choose free, non-commercial, or one of CC-BY-4.0" in run("models", "search", "--licence", "x").line


def test_the_index_is_asked_about_again_by_its_etag(zoo: Zoo) -> None:
    first = current_index()
    again = current_index()
    assert [request.headers["If-None-Match"] is None for request in zoo.server.requests] == [True, False]
    assert dict(again.models) == dict(first.models)
    assert again.checked >= first.checked
    zoo.index["2x-New"] = entry(zoo.url("new.pth"))
    assert "2x-New" in current_index().models
    kept = cached_index()
    assert kept is not None
    assert "2x-New" in kept.models


def test_what_was_asked_a_moment_ago_is_not_asked_again(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo_index, "FRESH_SECONDS", 3600.0)
    current_index()
    current_index()
    assert len(zoo.asked) == 1


def test_a_site_that_is_down_is_asked_and_told_of_once(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    current_index()
    monkeypatch.setattr(zoo, "answer", status(503))
    monkeypatch.setattr(zoo_index, "FRESH_SECONDS", 3600.0)
    later = time.time() + 7200
    monkeypatch.setattr("upscale_cli.models.zoo_index.time.time", lambda: later)
    said: list[str] = []
    for _ in range(3):
        assert "2x-Own" in current_index(say=said.append).models
    assert len(said) == 1
    assert "2 hours old" in said[0]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (status(503), "HTTP 503"),
        (status(404), "HTTP 404"),
        (web_page, "web page"),
        (status(200, b"[1, 2"), "no index of models"),
        (status(200, b'{"a": 1}'), "no index of models"),
        (status(200, b"[]"), "no index of models"),
    ],
    ids=["busy", "gone", "page", "cut", "nonsense", "list"],
)
def test_without_the_site_what_is_kept_goes_on_with_its_age(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch, answer: Answer, reason: str
) -> None:
    good = zoo.answer
    monkeypatch.setattr(zoo, "answer", answer)
    with pytest.raises(FetchError, match=f"not on this machine: .*{reason}"):
        current_index()
    assert cached_index() is None
    monkeypatch.setattr(zoo, "answer", good)
    current_index()
    monkeypatch.setattr(zoo, "answer", answer)
    said: list[str] = []
    assert "2x-Own" in current_index(say=said.append).models
    assert len(said) == 1
    assert reason in said[0]
    assert "less than a minute old" in said[0]


def test_what_is_kept_is_used_when_the_site_is_gone(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    current_index()
    path = store.zoo_folder() / FILE
    kept = json.loads(path.read_bytes())
    path.write_text(json.dumps({**kept, "checked": time.time() - 3 * 86400 - 60}), encoding="utf-8")
    said: list[str] = []
    monkeypatch.setattr(zoo_index, "ADDRESS", "http://127.0.0.1:9/models.json")
    assert "2x-Own" in current_index(say=said.append).models
    assert len(said) == 1
    assert "3 days old" in said[0]
    assert "127.0.0.1:9" in said[0]
    monkeypatch.setenv("UPSCALE_OFFLINE", "1")
    before = len(zoo.asked)
    assert "2x-Own" in current_index(say=said.append).models
    assert "UPSCALE_OFFLINE" in said[1]
    assert len(zoo.asked) == before


@pytest.mark.usefixtures("zoo")
def test_a_damaged_copy_of_the_index_is_no_copy() -> None:
    current_index()
    (store.zoo_folder() / FILE).write_bytes(b'{"marks": {}, "checked": ')
    assert cached_index() is None
    assert "2x-Own" in current_index().models


def test_entries_that_are_none_are_left_out() -> None:
    good = entry("https://a.example/x.safetensors")
    resource = good["resources"][0]
    index = {
        "2x-Good": good,
        "../evil": good,
        "nul": good,
        "a/b": good,
        "2x-NoScale": {**good, "scale": "2"},
        "2x-Sum": {**good, "resources": [{**resource, "sha256": "../../x"}]},
        "2x-Type": {**good, "resources": [{**resource, "type": "exe"}, {**resource, "type": "../pth"}]},
        "2x-Url": {**good, "resources": [{**resource, "urls": ["file:///etc/passwd", "javascript:x", 7]}]},
        "2x-Odd": {"resources": None},
        "2x-None": None,
    }
    models = read_models(index)
    assert set(models) == {"2x-Good", "2x-Sum", "2x-Type", "2x-Url"}
    assert [id for id, model in models.items() if model.resources] == ["2x-Good"]
    assert models["2x-Good"].resources[0].file == "2x-Good.safetensors"


def test_safe_files_come_first_and_each_has_a_name_of_its_own() -> None:
    urls = ["https://a.example/x"]
    kinds = ["onnx", "onnx", "pth", "safetensors"]
    resources = [{"type": kind, "size": 1, "sha256": f"{n:064x}", "urls": urls} for n, kind in enumerate(kinds)]
    (model,) = read_models({"2x-Own": entry(resources=resources)}).values()
    assert [each.file for each in model.resources] == [
        "2x-Own.safetensors", "2x-Own.pth", "2x-Own.onnx", "2x-Own-2.onnx",
    ]  # fmt: skip


def test_an_unknown_id_gets_the_nearest() -> None:
    models = read_models({"4x-UltraSharp": entry("https://a.example/x"), "1x-DeJPG": entry("https://a.example/x")})
    assert model_of(models, "4X-ULTRASHARP").id == "4x-UltraSharp"
    with pytest.raises(UnknownModelError, match="Did you mean omdb:4x-UltraSharp"):
        model_of(models, "4x-UltraShrp")


def test_the_real_index_is_understood() -> None:
    path = SHARED / "openmodeldb/models.json"
    if not path.is_file():
        pytest.skip("the shared folder with the facts of OpenModelDB is not here")
    index = json.loads(path.read_text(encoding="utf-8"))
    models = read_models(index)
    assert set(models) == set(index)
    assert all(model.resources for model in models.values())
    non_commercial = [id for id, facts in index.items() if "-NC-" in (facts["license"] or "")]
    assert [id for id, model in models.items() if model.is_non_commercial] == non_commercial
    found = search(models.values(), ["anime"], scale=4, licence="free")
    assert {model.id for model in found} == {
        id
        for id, facts in index.items()
        if facts["scale"] == 4 and facts["license"] and id not in non_commercial
        and "anime" in json.dumps([id, facts["name"], facts["author"], facts["tags"], facts["architecture"]]).lower()
    }  # fmt: skip
    addresses = [address for model in models.values() for each in model.resources for address in each.direct]
    assert not [each for each in addresses if "drive.google" in each or "mega.nz" in each or "/tag/" in each]


# Files


def test_a_model_is_fetched_once_and_upscales(zoo: Zoo, run: Run, photo: Path, tmp_path: Path) -> None:
    outcome = run(photo, "-m", "omdb:2x-own", "-s", 2, "-o", tmp_path / "large.png")
    assert outcome.code == 0, outcome.err
    assert "omdb:2x-Own: Own by somebody, espcn x2, MIT" in outcome.err
    assert (store.zoo_folder() / "2x-Own.safetensors").read_bytes() == NET
    zoo.server.requests.clear()
    assert run(photo, "-m", "omdb:2x-Own", "-s", 2, "-o", tmp_path / "again.png").code == 0
    assert run(photo, "-m", "2x-Own", "-s", 2, "-o", tmp_path / "stem.png").code == 0
    assert zoo.asked == [], "what is here is not asked for"
    pictures = [np.asarray(opened(tmp_path / name)) for name in ("large.png", "again.png", "stem.png")]
    assert pictures[0].shape == (40, 60, 3)
    assert np.array_equal(pictures[0], pictures[1])
    assert np.array_equal(pictures[0], pictures[2])
    record = json.loads(run("models", "info", "omdb:2x-Own", "--json").out)
    assert record["path"] == run("models", "path", "omdb:2x-Own").out.strip()
    assert "from OpenModelDB, espcn" in run("models", "list").out
    verified = run("models", "verify", "omdb:2x-Own")
    assert verified.code == 0
    assert verified.out.startswith("ok        omdb:2x-Own x2")
    (store.zoo_folder() / "2x-Own.safetensors").write_bytes(NET[:-1] + b"\0")
    assert run("models", "verify", "omdb:2x-Own").code == 1


def test_a_licence_that_forbids_is_agreed_to_once(zoo: Zoo, run: Run, photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "large.png"
    refused = run(photo, "-m", "omdb:2x-Closed", "-o", target)
    assert "by anna, ben is under CC-BY-NC-SA-4.0 (not for commercial use)" in refused.line
    assert "`upscale models fetch omdb:2x-Closed --yes`" in refused.line
    assert "--yes" in run("models", "fetch", "omdb:2x-Closed").line
    assert "own.safetensors" not in " ".join(zoo.asked)
    assert not target.exists()
    with pytest.raises(FetchError, match="has to be agreed to once"):
        obtain_zoo("2x-Closed")
    assert run("models", "fetch", "omdb:2x-Closed", "--yes").code == 0
    (store.zoo_folder() / "2x-Closed.safetensors").unlink()
    assert run(photo, "-m", "omdb:2x-Closed", "-s", 2, "-o", target).code == 0
    zoo.index["2x-Closed"]["license"] = "CC-BY-NC-4.0"
    (store.zoo_folder() / "2x-Closed.safetensors").unlink()
    assert has_to_agree(zoo_model("2x-Closed")), "another licence is another question"


@pytest.mark.usefixtures("zoo")
@pytest.mark.parametrize("answer", [True, False])
def test_a_person_is_asked(monkeypatch: pytest.MonkeyPatch, run: Run, answer: bool) -> None:
    class Terminal:
        @staticmethod
        def isatty() -> bool:
            return True

    asked: list[str] = []

    def confirm(text: str, **_: object) -> bool:
        asked.append(text)
        return answer

    monkeypatch.setattr("typer.confirm", confirm)
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    outcome = run("models", "fetch", "omdb:2x-Closed", "--json")
    assert len(asked) == 1
    assert "CC-BY-NC-SA-4.0" in asked[0]
    assert (outcome.code == 0) is answer
    assert (located(zoo_model("2x-Closed")) is not None) is answer


def test_mirrors_are_tried_in_turn(zoo: Zoo) -> None:
    pages = "https://mega.nz/file/a"
    zoo.index["2x-Own"] = entry(zoo.url("gone"), pages, zoo.url("login"), zoo.url("other"), zoo.url("good"))
    zoo.answers = {
        "/gone": status(404), "/login": web_page, "/other": status(200, b"something else" * 100),
    }  # fmt: skip
    said: list[str] = []
    path = obtain_zoo("2x-Own", say=said.append, patience=HASTY)
    assert path.read_bytes() == NET
    assert [each for each in zoo.asked if "api" not in each][-1] == "/good"
    assert sum("trying another address" in line for line in said) == 3


def test_where_nothing_can_be_had_by_hand_is_how(zoo: Zoo) -> None:
    with pytest.raises(FetchError) as paged:
        obtain_zoo("1x-Paged")
    text = str(paged.value)
    assert "by a browser only" in text
    assert "https://mega.nz/file/a#b or https://drive.google.com/open?id=1" in text
    assert f"{len(NET):,} bytes, sha256 {SHA256}" in text
    assert str(store.zoo_folder()) in text
    zoo.answers = {"/own.safetensors": status(404)}
    with pytest.raises(FetchError, match=r"HTTP 404 Not Found.* Get it by hand from http://127"):
        obtain_zoo("2x-Own", patience=HASTY)


@pytest.mark.usefixtures("zoo")
def test_a_file_that_was_put_there_by_hand_is_found_by_its_sum() -> None:
    with pytest.raises(FetchError, match="browser"):
        obtain_zoo("1x-Paged")
    store.zoo_folder().mkdir(parents=True, exist_ok=True)
    placed = store.zoo_folder() / "as the browser (1).safetensors"
    placed.write_bytes(NET[:-1] + b"\0")
    with pytest.raises(FetchError, match="browser"):
        obtain_zoo("1x-Paged")
    placed.write_bytes(NET)
    assert obtain_zoo("1x-Paged") == placed


@pytest.mark.usefixtures("zoo")
def test_an_official_file_of_the_registry_is_its_own_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = dataclasses.replace(MODELS[0], file="own.safetensors", size=len(NET), sha256=SHA256)
    monkeypatch.setattr(zoo_fetch, "MODELS", (spec,))
    store.cache_folder().mkdir(parents=True, exist_ok=True)
    (store.cache_folder() / spec.file).write_bytes(NET)
    assert obtain_zoo("1x-Paged") == store.cache_folder() / spec.file


def test_offline_only_what_is_here(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    current_index()
    obtain_zoo("2x-Own")
    monkeypatch.setenv("UPSCALE_OFFLINE", "1")
    zoo.server.requests.clear()
    assert obtain_zoo("2x-Own").is_file()
    with pytest.raises(FetchError, match="UPSCALE_OFFLINE forbids to download it"):
        obtain_zoo("4x-Else")
    assert zoo.asked == []


def test_a_users_mirror_stands_in_for_the_site_and_all_hosts(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSCALE_MIRROR", zoo.url("mirror"))
    zoo.answers = {"/mirror/openmodeldb.json": status(200, json.dumps(zoo.index).encode())}
    assert obtain_zoo("1x-Paged").read_bytes() == NET
    assert zoo.asked == ["/mirror/openmodeldb.json", "/mirror/1x-Paged.safetensors"]
    paged = entry("https://mega.nz/file/a", license="CC-BY-NC-4.0", resources=[
        {"type": "pth", "size": 9, "sha256": "1" * 64, "urls": ["https://mega.nz/file/a"]}
    ])  # fmt: skip
    (model,) = read_models({"1x-Closed": paged}).values()
    assert has_to_agree(model), "the mirror has what hosts give to browsers only"
    monkeypatch.delenv("UPSCALE_MIRROR")
    assert not has_to_agree(model), "nothing would be fetched"


def test_the_net_may_be_known_to_onnx_alone(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    resources = [
        {"type": kind, "size": 5, "sha256": "0" * 64, "urls": [zoo.url(f"x.{kind}")]} for kind in ("pth", "onnx")
    ]
    (model,) = read_models({"2x-Hat": entry(resources=resources, architecture="hat")}).values()
    for here, first in ((True, "2x-Hat.pth"), (False, "2x-Hat.onnx")):
        monkeypatch.setattr(importlib.util, "find_spec", lambda _, here=here: here or None)
        assert next(zoo_fetch._addresses(model))[0].file == first


def test_a_model_without_a_file_of_ours_says_so(zoo: Zoo) -> None:
    zoo.index["2x-Ncnn"] = entry(resources=[{"type": "zip", "size": 5, "sha256": "0" * 64, "urls": [zoo.url("x")]}])
    with pytest.raises(CheckpointError, match=r"no checkpoint .* https://openmodeldb.info/models/2x-Ncnn"):
        obtain_zoo("2x-Ncnn")


@pytest.mark.usefixtures("zoo")
def test_one_of_several_that_fails_does_not_keep_the_others(run: Run) -> None:
    outcome = run("models", "fetch", "omdb:1x-Paged", "omdb:2x-Own", "espcn")
    assert outcome.code == 1
    assert "1 of 5 checkpoints could not be had" in outcome.err
    assert located(zoo_model("2x-Own")) is not None


@pytest.mark.usefixtures("zoo")
def test_agreeing_in_python() -> None:
    agree(zoo_model("2x-Closed"))
    assert obtain_zoo("2x-Closed").read_bytes() == NET


@pytest.mark.usefixtures("zoo")
def test_completion_offers_ids_of_an_index_that_is_here() -> None:
    from upscale_cli.cli.options import complete_model

    assert complete_model("omdb:") == []
    current_index()
    assert "omdb:2x-Own" in complete_model("omdb:2x")
    assert not [name for name in complete_model("") if name.startswith("omdb:")]


# The page about it


@pytest.mark.slow
def test_the_commands_of_the_page_do_what_it_says(
    zoo: Zoo, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setattr(other_programs, "home", lambda: home)
    owned = home / "ComfyUI/models/upscale_models/4x-UltraSharp.safetensors"
    owned.parent.mkdir(parents=True)
    owned.write_bytes((bundled_folder() / "espcn-x4.safetensors").read_bytes())
    zoo.index = {"4x-animerd-v1": entry(zoo.url("net.safetensors"), tags=["anime"], license="CC0-1.0", scale=4)}
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((12, 16, 3), np.uint8)).save("photo.jpg")
    page = (REPOSITORY / "docs/models.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("    upscale ")]
    commands = [line.split()[1:] for line in lines if ".param" not in line and "-m models/" not in line]  # test_ncnn
    assert len(commands) == 8
    for words in commands:
        outcome = run(*words)
        assert outcome.code == 0, outcome.err
        assert "4x-" in outcome.out + outcome.err, words
        for made in tmp_path.glob("photo_*"):
            made.unlink()
    assert run("export", "4x-UltraSharp", "-o", "net.safetensors").code == 0
