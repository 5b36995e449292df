"""The service over HTTP, in this process: jobs in, results out, errors as problems."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")

from fastapi.testclient import TestClient

from upscale_cli.service.app import create_app
from upscale_cli.service.service import Service
from upscale_cli.service.settings import ServiceSettings

if TYPE_CHECKING:
    from tests.command import Run

OPTIONS = {"model": "bicubic", "target": {"scale": 2}}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    Image.fromarray(pixels[::-1]).save(folder / "b.jpg", quality=90)
    (folder / "none.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Service:
    """With one worker."""
    return Service(
        ServiceSettings(
            data=tmp_path_factory.mktemp("data"),
            device=("cpu",),
            engine="torch",
            jobs=2,
            allow_folder=(pictures,),
            max_upload=200_000,
            min_free=0,
        )
    )


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[TestClient]:
    """Of the service, which lives as long as this does."""
    with TestClient(create_app(service), base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


def sent(client: TestClient, path: Path, options: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
    """A job for a file."""
    with path.open("rb") as file:
        answer = client.post(
            "/api/jobs", files={"file": (path.name, file)}, data={"options": json.dumps(options or OPTIONS)},
            headers=headers,
        )  # fmt: skip
    assert answer.status_code == 201, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/jobs/{job['id']}"
    return job


def ended(client: TestClient, id: str) -> dict[str, Any]:
    """A job, once its stream of events has ended; with `events`, the names of those."""
    names = []
    with client.stream("GET", f"/api/jobs/{id}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
    job: dict[str, Any] = client.get(f"/api/jobs/{id}").json()
    return {**job, "events": names}


def test_a_photo_comes_back_as_the_command_line_makes_it(
    client: TestClient, pictures: Path, run: "Run", tmp_path: Path
) -> None:
    job = ended(client, sent(client, pictures / "a.png")["id"])
    assert job["state"] == "done"
    assert (job["result_name"], job["facts"]["width"], job["facts"]["height"]) == ("a_2x.png", 64, 48)
    assert "started" in job["events"]
    by_command = run(pictures / "a.png", "-m", "bicubic", "-s", 2, "-o", tmp_path / "a.png")
    assert by_command.code == 0
    result = client.get(f"/api/jobs/{job['id']}/result")
    assert result.content == (tmp_path / "a.png").read_bytes()
    assert 'filename="a_2x.png"' in result.headers["content-disposition"]
    part = client.get(f"/api/jobs/{job['id']}/result", headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, result.content[5:10])
    assert client.get(f"/api/jobs/{job['id']}/input").content == (pictures / "a.png").read_bytes()
