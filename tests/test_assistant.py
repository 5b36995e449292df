"""`upscale mcp`, as a client of the SDK sees it: each tool, which files it may touch, what mistakes read like."""

import base64
import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from PIL import Image

from tests.clips import Clips
from tests.command import Run, run
from tests.pictures import frame_of
from upscale_cli.errors import InterruptedRun, OptionError
from upscale_cli.events import ClipProgress, Event, Progress
from upscale_cli.messages import option

pytest.importorskip("mcp", reason="the extra [mcp] is not installed")

import anyio
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, ImageContent, TextContent, Tool

from upscale_cli.assistant import running
from upscale_cli.assistant.allowed import Allowed
from upscale_cli.assistant.arguments import in_arguments
from upscale_cli.assistant.server import make_server

__all__ = ["run"]

Given = TypeVar("Given")


def picture(path: Path, height: int = 24, width: int = 32) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(frame_of(height=height, width=width).pixels).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the owner allows: a picture, and next to the folder one that is not allowed."""
    picture(tmp_path / "private.png")
    return picture(tmp_path / "photos" / "photo.png").parent


def ask(folder: Path, what: Callable[[Client], Awaitable[Given]]) -> Given:
    """What a client is told that is connected for so long."""

    async def talk() -> Given:
        async with Client(make_server(Allowed([folder]))) as client:
            return await what(client)

    return anyio.run(talk)


def call(folder: Path, tool: str, **arguments: object) -> CallToolResult:
    return ask(folder, lambda client: client.call_tool(tool, arguments))


def facts(folder: Path, tool: str, **arguments: object) -> dict[str, Any]:
    """Structured content; the text says the same."""
    result = call(folder, tool, **arguments)
    assert not result.is_error, result.content
    assert isinstance(result.content[0], TextContent)
    assert json.loads(result.content[0].text) == result.structured_content
    assert result.structured_content is not None
    made: dict[str, Any] = result.structured_content
    return made


def mistake(folder: Path, tool: str, **arguments: object) -> str:
    """The one line of an error."""
    result = call(folder, tool, **arguments)
    assert result.is_error
    (content,) = result.content
    assert isinstance(content, TextContent)
    assert "\n" not in content.text
    assert "bug of ours" not in content.text
    return content.text


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


# Tools


def test_tools_say_what_they_take_and_give(folder: Path) -> None:
    async def listed(client: Client) -> list[Tool]:
        return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in ask(folder, listed)}
    assert set(tools) == {"list_models", "plan", "upscale", "compare", "evaluate"}
    for tool in tools.values():
        assert tool.description
        assert tool.output_schema is not None
        assert tool.input_schema["additionalProperties"] is False
        for name, schema in tool.input_schema["properties"].items():
            assert schema.get("description"), (tool.name, name)
    assert tools["upscale"].annotations is not None
    assert tools["plan"].annotations is not None
    assert (tools["plan"].annotations.read_only_hint, tools["upscale"].annotations.read_only_hint) == (True, False)


def test_models_are_listed_with_the_folders(folder: Path) -> None:
    known = facts(folder, "list_models")
    models = {model["name"]: model for model in known["models"]}
    assert models["espcn"]["is_here"]
    assert not models["realesrgan"]["is_here"]
    assert models["realesrgan"]["size_bytes"] > 60_000_000
    assert known["folders"] == [str(folder)]
    assert {model["name"] for model in facts(folder, "list_models", search="ESPCN")["models"]} >= {"espcn"}


def test_a_plan_makes_nothing(folder: Path) -> None:
    plan = facts(folder, "plan", source="photo.png", scale=3, model="espcn")
    (file,) = plan["files"]
    assert (file["output_width"], file["output_height"], file["frames"]) == (96, 72, 1)
    assert Path(file["output"]) == folder / "photo_3x.png"
    assert plan["expected_seconds"] == 0
    assert plan["memory_bytes"] > 0
    assert plan["to_fetch"] == []
    absent = facts(folder, "plan", source="photo.png", model="realesrgan")
    assert absent["to_fetch"] == ["RealESRGAN_x4plus.pth"]
    assert absent["expected_seconds"] is None
    picture(folder / "b.png", 10, 20)
    many = facts(folder, "plan", source=".", width=100, model="bicubic")
    assert many["count"] == 2
    assert {(one["output_width"], one["output_height"]) for one in many["files"]} == {(100, 50), (100, 75)}
    assert names(folder) == {"photo.png", "b.png"}


def test_a_photo_comes_out_as_by_the_command_line(folder: Path, run: Run) -> None:
    shares: list[float] = []

    async def upscaled(client: Client) -> CallToolResult:
        async def told(progress: float, total: float | None, message: str | None) -> None:
            assert total == 1
            assert message
            shares.append(progress)

        arguments = {"source": "photo.png", "output": "large.png", "scale": 4, "model": "espcn"}
        return await client.call_tool("upscale", arguments, progress_callback=told)

    result = ask(folder, upscaled)
    assert not result.is_error, result.content
    made = result.structured_content
    assert made is not None
    assert (made["done"], made["failed"], made["files"][0]["output"]) == (1, 0, str(folder / "large.png"))
    assert shares == sorted(set(shares))
    shown = result.content[1]
    assert isinstance(shown, ImageContent)
    with Image.open(io.BytesIO(base64.b64decode(shown.data))) as thumbnail:
        assert (thumbnail.format, thumbnail.size) == ("JPEG", (128, 96))
    assert run(folder / "photo.png", "-o", folder / "same.png", "-s", 4, "-m", "espcn", "-q").code == 0
    assert (folder / "same.png").read_bytes() == (folder / "large.png").read_bytes()


def test_a_folder_goes_on_where_it_ended(folder: Path) -> None:
    picture(folder / "sub" / "c.png")
    how = {"source": ".", "output": "large/", "model": "bicubic", "recursive": True, "scale": 2}
    first = facts(folder, "upscale", **how)
    assert (first["done"], first["skipped"], first["failed"], len(first["files"])) == (2, 0, 0, 2)
    (folder / "broken.png").write_bytes(b"no picture")
    second = facts(folder, "upscale", **how)
    assert (second["done"], second["skipped"], second["failed"]) == (0, 2, 1)
    assert second["failures"][0]["source"] == str(folder / "broken.png")
    assert (folder / "large/sub/c_2x.png").is_file()


@pytest.mark.slow
def test_a_clip_is_upscaled_and_shown(folder: Path, clips: Clips) -> None:
    (folder / "clip.mp4").write_bytes(clips("one_frame").read_bytes())
    result = call(folder, "upscale", source="clip.mp4", output="large.mkv", model="bicubic", codec="ffv1", steady=True)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    assert result.structured_content["files"][0]["frames"] == 1
    assert [content.type for content in result.content] == ["text", "image"]
    plan = facts(folder, "plan", source="clip.mp4", output="other.mkv", model="bicubic")
    assert plan["files"][0]["frames"] == 1
    compared = facts(folder, "compare", files=["clip.mp4", "large.mkv"])
    assert (compared["pictures"], compared["output"]) == (0, str(folder / "clip_compare.mp4"))


def test_pictures_are_compared_and_measured(folder: Path) -> None:
    other = folder / "other.png"
    with Image.open(folder / "photo.png") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(other)
    result = call(folder, "compare", files=["photo.png", "other.png"], output="page.html")
    assert not result.is_error, result.content
    made = result.structured_content
    assert made is not None
    assert (made["pictures"], len(result.content)) == (1, 3)
    (measured,) = made["measured"]
    assert not measured["is_equal"]
    assert measured["psnr_luma"] < 40
    assert "<html" in (folder / "page.html").read_text("utf-8")
    same = facts(folder, "compare", files=["photo.png"], reference="photo.png", output="same.html")
    assert (same["measured"][0]["is_equal"], same["measured"][0]["psnr_luma"]) == (True, None)


def test_models_are_measured(folder: Path) -> None:
    picture(folder / "hr" / "a.png", 64, 64)
    table = facts(folder, "evaluate", hr=["hr"], models=["espcn"], scales=[2])
    means = {row["model"]: row for row in table["means"]}
    assert set(means) == {"bicubic", "espcn"}
    assert all(20 < row["psnr_y"] < 70 and row["picture"] is None for row in means.values())
    assert {row["picture"] for row in table["pictures"]} == {"a.png"}
    assert "hr: goes with" not in mistake(folder, "evaluate", hr=["hr/none.png"])


# What they may touch


def outside(folder: Path) -> None:
    """Ways out of the folder, as links."""
    (folder / "link.png").symlink_to(folder.parent / "private.png")
    (folder / "way").symlink_to(folder.parent, target_is_directory=True)
    (folder / "circle").symlink_to(folder / "circle")
    (folder / "linked").mkdir()
    (folder / "linked" / "a.png").symlink_to(folder.parent / "private.png")


SOURCES = (
    "../private.png", "{parent}/private.png", "sub/../../private.png", "./photo.png/../../private.png", "photo.png\0",
    "way/private.png", "link.png", "/etc/passwd", "~/private.png", "~nobody-here/x.png", "file:///etc/passwd", "-", "",
    "\0",
    "circle", "x" * 5000, "frame_%03d.png", "http://localhost/x.png", "HTTPS://localhost/x.png", "s3://bucket/x.png",
    "rtsp://localhost/x", "concat:photo.png", "pipe:0", "/dev/zero", "/proc/self/environ", "pipe",
)  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes as they are there")
def test_no_source_leads_out_of_the_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    outside(folder)
    (folder / "sub").mkdir()
    os.mkfifo(folder / "pipe")
    before = names(folder.parent)

    async def refused(client: Client) -> None:
        for given in SOURCES:
            source = given.format(parent=folder.parent) if "{" in given else given
            asked: tuple[tuple[str, dict[str, object]], ...] = (
                ("plan", {"source": source}),
                ("upscale", {"source": source, "model": "bicubic"}),
                ("compare", {"files": [source, "photo.png"]}),
                ("compare", {"files": ["photo.png"], "reference": source}),
                ("evaluate", {"hr": [source], "models": ["bicubic"]}),
                ("evaluate", {"hr": ["photo.png"], "lr": source, "models": ["bicubic"]}),
            )
            for tool, arguments in asked:
                result = await client.call_tool(tool, arguments)
                assert result.is_error, (tool, source)
                assert isinstance(result.content[0], TextContent)
                line = result.content[0].text
                assert "\n" not in line
                assert "bug of ours" not in line, (source, line)
                assert any(
                    word in line for word in ("outside", "no such file", "no path", "neither", "nothing is fetch")
                )
        for tool in ("upscale", "plan"):
            result = await client.call_tool(tool, {"source": ".", "recursive": True, "model": "bicubic"})
            assert "leads out of the allowed folders" in str(result.content)
        result = await client.call_tool("evaluate", {"hr": ["linked"], "models": ["bicubic"]})
        assert "leads out of the allowed folders" in str(result.content)

    ask(folder, refused)
    assert names(folder.parent) == before


@pytest.mark.skipif(sys.platform == "win32", reason="links as they are there")
def test_no_output_leads_out_of_the_folders(folder: Path) -> None:
    outside(folder)
    private = (folder.parent / "private.png").read_bytes()
    for output in ("../x.png", "way/x.png", "way/", "..", f"{folder.parent}/x.png", "link.png", "s/../../x.png", "\0"):
        line = mistake(folder, "upscale", source="photo.png", output=output, model="bicubic", overwrite=True)
        assert "outside of the allowed folders" in line or "no path" in line
        line = mistake(folder, "compare", files=["photo.png", "photo.png"], output=output, overwrite=True)
        assert "outside of the allowed folders" in line or "no path" in line
    (folder / "photo_2x.png").symlink_to(folder.parent / "private.png")
    made = facts(folder, "upscale", source="photo.png", scale=2, model="bicubic", overwrite=True)
    assert made["done"] == 1
    assert not (folder / "photo_2x.png").is_symlink()  # the link was replaced, not what it led to
    assert (folder.parent / "private.png").read_bytes() == private


def test_a_brace_in_a_name_is_one(folder: Path) -> None:
    for name in ("{stem}.png", "{folder}.png", "a{.png", "{0.__class__}.png"):
        facts(folder, "upscale", source="photo.png", output=name, scale=1, model="bicubic", thumbnails=False)
    assert names(folder) == {"photo.png", "{stem}.png", "{folder}.png", "a{.png", "{0.__class__}.png"}


def test_models_come_from_the_registry_and_from_the_folders(folder: Path) -> None:
    (folder.parent / "net.pth").write_bytes(b"x")
    (folder / "own.pth").write_bytes(b"x")
    for model in ("../net.pth", f"{folder.parent}/net.pth", "espcn+../net.pth", "../net.pth:0.5,own.pth:0.5"):
        assert "outside of the allowed folders" in mistake(folder, "upscale", source="photo.png", model=model)
    assert "nothing is fetched from OpenModelDB" in mistake(folder, "plan", source="photo.png", model="omdb:4x-Any")
    assert str(folder / "own.pth") in mistake(folder, "plan", source="photo.png", model="own.pth")
    assert "espcn" in mistake(folder, "plan", source="photo.png", model="espnc")


def test_the_whole_file_system_is_not_allowed_by_accident(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path.anchor)
    with pytest.raises(OptionError, match="to allow that is to allow every file"):
        Allowed()
    monkeypatch.chdir(tmp_path)
    assert Allowed().folders == (tmp_path.resolve(),)
    with pytest.raises(OptionError, match="no folder"):
        Allowed([tmp_path / "none"])


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"source": "none.png"}, r"none\.png: there is no such file\. Check the name and the folder\."),
        ({"source": "photo.png", "scale": -1}, r"scale -1 is out of range\. .* such as scale: 4\."),
        ({"source": "photo.png", "scale": 2, "width": 9}, r"scale: 2\.0 and width, height, .* exclude each other\..*"),
        ({"source": "photo.png", "scale": "big"}, r"scale: 'big': input should be a valid number.*"),
        ({"source": "photo.png", "precision": "fp8"}, r"precision: 'fp8': input should be 'auto', .*"),
        ({"source": "photo.png", "model": "espcn", "strength": 0.5}, r"strength does not go with espcn, .*"),
        ({"source": "photo.png", "quality": 101}, r"quality: 101 is out of range\. Choose 0 to 100\."),
        ({"source": "photo.png", "overwrit": True}, r"overwrit: upscale has no such argument\. It takes source, .*"),
        ({}, r"source: field required\."),
        ({"source": "photo.png", "output": "photo.png"}, r".*is an input, and inputs are never .* another output\."),
        ({"source": "photo.png", "output": "taken.png"}, r".*exists already\. Give overwrite: true to replace it, .*"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_clear_line(folder: Path, arguments: dict[str, object], line: str) -> None:
    picture(folder / "taken.png")
    before = names(folder)
    said = mistake(folder, "upscale", **{"model": "bicubic", **arguments})
    assert re.fullmatch(line, said), said
    assert names(folder) == before


def test_options_are_named_as_arguments() -> None:
    text = f"Choose {option('scale', 4)}, {option('box')}, {option('hr')} or {option('max_pixels')}."
    assert in_arguments(text, {"scale"}) == (
        "Choose scale: 4, width, height, reference or max_pixels of the command line."
    )


def test_a_bug_is_reported_as_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by\nnothing")

    monkeypatch.setattr("upscale_cli.api.upscale_file", broken)
    result = call(folder, "upscale", source="photo.png")
    assert isinstance(result.content[0], TextContent)
    assert result.content[0].text == r"a bug of ours (ZeroDivisionError: by\nnothing). Please report it."


def test_without_the_extra_one_line_says_so(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "mcp", None)
    for name in [name for name in sys.modules if name.startswith(("mcp.", "upscale_cli.assistant.server"))]:
        monkeypatch.delitem(sys.modules, name)
    outcome = run("mcp")
    assert outcome.code == 2
    assert outcome.line == "error: upscale mcp needs the extra mcp. Install it with: pip install 'upscale-cli[mcp]'"


# An end before the end


@pytest.mark.parametrize("tool", ["photo", "folder", "compare", pytest.param("clip", marks=pytest.mark.slow)])
def test_a_cancelled_call_leaves_nothing(
    tool: str, folder: Path, clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    if tool == "clip":
        (folder / "clip.mp4").write_bytes(clips("plain").read_bytes())
    calls: dict[str, tuple[str, dict[str, object]]] = {
        "photo": ("upscale", {"source": "photo.png", "model": "espcn"}),
        "folder": ("upscale", {"source": ".", "output": "large/", "model": "espcn"}),
        "compare": ("compare", {"files": ["photo.png", "photo.png"]}),
        "clip": ("upscale", {"source": "clip.mp4", "model": "bicubic"}),
    }
    before = names(folder)
    begun, ended = threading.Event(), list[BaseException]()
    take, check = running.Running.__call__, running.Running.check

    def wait(call: running.Running) -> None:
        """In the midst of the work, until it is cancelled."""
        begun.set()
        while not call._is_stopped:
            time.sleep(0.001)

    def taking(self: running.Running, event: Event) -> None:
        if isinstance(event, Progress | ClipProgress):
            wait(self)
        try:
            take(self, event)
        except BaseException as error:
            ended.append(error)
            raise

    def checking(self: running.Running) -> None:
        if tool == "compare":
            wait(self)
            ended.append(InterruptedRun())
        check(self)

    monkeypatch.setattr(running.Running, "__call__", taking)
    monkeypatch.setattr(running.Running, "check", checking)

    async def cancelled(client: Client) -> None:
        async with anyio.create_task_group() as tasks:
            name, arguments = calls[tool]
            tasks.start_soon(client.call_tool, name, arguments)
            await anyio.to_thread.run_sync(begun.wait)
            tasks.cancel_scope.cancel()
        monkeypatch.setattr(running.Running, "__call__", take)
        monkeypatch.setattr(running.Running, "check", check)
        after = await client.call_tool("list_models", {"search": "espcn"})  # it goes on for others
        assert not after.is_error

    ask(folder, cancelled)
    assert all(isinstance(error, InterruptedRun) for error in ended)
    assert ended
    left = names(folder) - before
    if tool == "folder":  # what another thread has done meanwhile stays done, and is whole
        left -= {"large", ".upscale-manifest.jsonl", ".upscale-manifest.lock", "photo_4x.png"}
    assert not left


# Standard output

NOISY = """
import atexit, os, subprocess, sys
from upscale_cli import api

real = api.upscale_file

def noisy(*given, **options):
    print("printed")
    os.write(1, b"written\\n")
    subprocess.run([sys.executable, "-c", "print('by a child')"], check=True)
    return real(*given, **options)

api.upscale_file = noisy
atexit.register(lambda: os.write(1, b"at the end\\n"))
from upscale_cli.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])  # empty is as if it were not set
def test_nothing_but_the_protocol_is_on_standard_output(
    folder: Path, unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)

    def message(method: str, number: int | None, **params: object) -> str:
        return json.dumps({"jsonrpc": "2.0", **({"id": number} if number else {}), "method": method, "params": params})

    about: dict[str, object] = {"protocolVersion": "2025-06-18", "capabilities": {}}
    lines = [
        message("initialize", 1, **about, clientInfo={"name": "test", "version": "1"}),
        message("notifications/initialized", None),
        message("tools/call", 2, name="upscale", arguments={"source": "photo.png", "model": "bicubic"}),
    ]
    command = [sys.executable, "-c", NOISY, "mcp", "--folder", str(folder)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True, encoding="utf-8") as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stderr is not None
        server.stdin.write("\n".join(lines) + "\n")
        server.stdin.flush()
        answers = [json.loads(server.stdout.readline()) for _ in range(2)]
        server.stdin.close()
        rest, errors = server.stdout.read(), server.stderr.read()
    assert server.returncode == 0, errors
    assert [answer["id"] for answer in answers] == [1, 2]
    assert answers[1]["result"]["structuredContent"]["done"] == 1, errors
    assert rest == ""
    assert {"printed", "written", "by a child", "at the end"} <= set(errors.splitlines())


@pytest.mark.slow
def test_a_client_starts_it_by_itself(folder: Path) -> None:
    async def talk() -> CallToolResult:
        arguments = ["-m", "upscale_cli", "mcp", "--folder", str(folder)]
        async with Client(StdioServerParameters(command=sys.executable, args=arguments)) as client:
            assert len((await client.list_tools()).tools) == 5
            return await client.call_tool("plan", {"source": "photo.png", "model": "bicubic"})

    result = anyio.run(talk)
    assert result.structured_content is not None
    assert result.structured_content["count"] == 1
