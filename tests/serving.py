"""A service in this process, for tests of what it does over HTTP; its worker is a process of its own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")

from fastapi.testclient import TestClient

from upscale_cli.service.app import create_app
from upscale_cli.service.service import Service
from upscale_cli.service.settings import ServiceSettings

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
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Of workers, which are processes of their own: the user's files play no part there either."""
    folder = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            patch.setenv(name, str(folder / name.lower()))
        patch.setenv("UPSCALE_OFFLINE", "1")
        patch.setenv("UPSCALE_ENGINE", "torch")
        yield


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, pictures: Path, environment: None) -> Service:  # noqa: ARG001
    """With one worker."""
    settings = ServiceSettings(
        data=tmp_path_factory.mktemp("data"), device=("cpu",), engine="torch", jobs=2, allow_folder=(pictures,),
        allow_url=("127.0.0.1",), max_upload=200_000, min_free=0, max_streams=3, max_pixels=2000,
    )  # fmt: skip
    return Service(settings)


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[TestClient]:
    """Of the service, which lives as long as this does."""
    with TestClient(create_app(service), base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


def sent(
    client: TestClient, path: Path, options: dict[str, Any] | None = None, key: str | None = None
) -> dict[str, Any]:
    """A job for a file."""
    headers = {"Idempotency-Key": key} if key else {}
    with path.open("rb") as file:
        answer = client.post(
            "/api/jobs", files={"file": (path.name, file)}, data={"options": json.dumps(options or OPTIONS)},
            headers=headers,
        )  # fmt: skip
    assert answer.status_code == 201, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/jobs/{job['id']}"
    return job


def problem(answer: Any, status: int) -> str:
    """What an answer says that is a problem."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert "\n" not in body["detail"]
    return str(body["detail"])


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
