"""Containers and file managers: the command lines that they are given are understood, and what they name is there."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer
import yaml

from upscale_cli import cli
from upscale_cli.cli.serve_options import AddressGroup

ROOT: Final = Path(__file__).resolve().parents[1]
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: Final = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
DESKTOP: Final = (ROOT / "docs" / "desktop.md").read_text(encoding="utf-8")


def check(arguments: list[str]) -> None:
    """Raises what the command line says of wrong options, and does nothing."""
    command: Any = typer.main.get_command(cli.app)
    context: Any = command.make_context("upscale", arguments)
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, context._protected_args + context.args)
        context = command.make_context(name, rest, parent=context)


def lines_for_desktops() -> Iterator[str]:
    """Every command line of ours in the blocks, placeholders as files."""
    for block in re.findall(r"```(?:desktop|sh)\n(.*?)```", DESKTOP, re.DOTALL):
        for line in re.findall(r"\bupscale\"? ((?:--\S* |\d+ )+(?:%F|\"\$@\"))", block):
            yield line.replace("%F", "photo.jpg").replace('"$@"', "photo.jpg")
    for arguments in re.findall(r"Arguments = '(.*?)'", DESKTOP):
        yield f"{arguments} photo.jpg"
    for arguments in re.findall(r'Source\)`" (.*?) `"%1`"', DESKTOP):
        yield f"{arguments} photo.jpg"


def test_file_managers_give_command_lines_that_are_understood() -> None:
    lines = list(lines_for_desktops())
    assert len(lines) == 7
    for line in lines:
        check(shlex.split(line))


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_of_compose_is_whole(name: str) -> None:
    service = COMPOSE["services"][name]
    check(service["command"])
    targets = re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE)
    assert service["build"]["target"].removesuffix("}").rpartition(":-")[2] in targets
    for volume in service["volumes"]:
        source, target = re.fullmatch(r"(\$\{.*?\}[\w/]*|[\w-]+):([^:]+)(?::ro)?", volume).groups()  # type: ignore[union-attr]
        assert source.startswith("${MEDIA") or source in COMPOSE["volumes"]
        assert target in ("/media", "/media/large", "/models", "/data")


def test_the_image_starts_and_asks_what_is_there() -> None:
    (given,) = re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    check(json.loads(given))
    port = str(AddressGroup().port)
    assert re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE) == [port]
    (asked,) = re.findall(r"HTTPConnection\('127\.0\.0\.1', (\d+),", DOCKERFILE)
    assert asked == port
    assert COMPOSE["services"]["serve"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    (route,) = re.findall(r"c\.request\('GET', '(.*?)'\)", DOCKERFILE)
    routes = "".join(path.read_text("utf-8") for path in (ROOT / "upscale_cli" / "service").glob("routes_*.py"))
    assert f'"{route}"' in routes


def test_the_image_is_made_of_what_is_there() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in re.findall(r"^COPY ([^-].*)$", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists()
            assert f"!{source}" in ignored
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (wanted,) = re.findall(r"^ARG EXTRAS=(.*)$", DOCKERFILE, re.MULTILINE)
    assert set(wanted.split(",")) <= set(extras)
