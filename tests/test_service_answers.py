"""What the service answers besides jobs: to HEAD, to fields that there are not, behind a proxy."""

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")

from fastapi.testclient import TestClient

from tests.asgi import Answer, call, finished, sending
from tests.serving import problem
from upscale_cli.errors import InputError, OptionError, OutputError
from upscale_cli.jobs.fingerprint import digest
from upscale_cli.service.app import create_app
from upscale_cli.service.devices import check_devices
from upscale_cli.service.request import parsed
from upscale_cli.service.run import bound, configured
from upscale_cli.service.service import Service
from upscale_cli.service.settings import ServiceSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.command import Run


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Service]":
    """A service without workers, with a job that is done."""
    folder = tmp_path_factory.mktemp("house")
    (folder / "a.png").write_bytes(b"12345")
    service = Service(ServiceSettings(data=folder / "data", min_free=0, allow_folder=(folder,)))
    job = service.submit(parsed(""), name="a.png", source=folder / "a.png")
    service.folders.output(job.id).mkdir(parents=True)
    (service.folders.output(job.id) / "a_4x.png").write_bytes(b"0123456789")
    service.store.update(job.id, state="done", ended=1.0, result="a_4x.png", result_bytes=10)
    yield service
    service.close()


@pytest.fixture(scope="module")
def client(house: Service) -> TestClient:
    return TestClient(create_app(house), base_url="http://localhost", raise_server_exceptions=False)


def test_head_has_the_headers_of_get(client: TestClient, house: Service) -> None:
    (job,) = house.store.newest(1)
    paths = client.get("/api/openapi.json").json()["paths"]
    streams = {path for path in paths if path.endswith("/events")}
    assert {path for path in paths if "get" in paths[path] and "head" not in paths[path]} == streams
    assert len({one["operationId"] for path in paths.values() for one in path.values()}) == sum(
        map(len, paths.values())
    )
    for path in (f"/api/jobs/{job.id}/result", f"/api/jobs/{job.id}/input", "/api/results.zip", "/", "/page/jobs.js"):
        got, asked = client.get(path), client.head(path)
        assert (got.status_code, asked.status_code, asked.content) == (200, 200, b"")
        assert dict(asked.headers) == dict(got.headers)
    part = client.head(f"/api/jobs/{job.id}/result", headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.headers["content-length"], part.headers["content-range"]) == (
        206,
        "3",
        "bytes 2-4/10",
    )
    refused = client.head("/api/jobs/events")
    assert refused.status_code == 404
    assert "HEAD" not in client.head("/api/events").headers["allow"]


def test_what_has_changed_is_sent_anew_and_not_pieced_together(client: TestClient, house: Service) -> None:
    (job,) = house.store.newest(1)
    path = f"/api/jobs/{job.id}/result"
    before = client.get(path)
    assert client.get(path, headers={"Range": "bytes=8-", "If-Range": before.headers["etag"]}).status_code == 206
    house.result(job).write_bytes(b"another result")
    after = client.get(path, headers={"Range": "bytes=8-", "If-Range": before.headers["etag"]})
    assert (after.status_code, after.content) == (200, b"another result")
    house.result(job).write_bytes(b"0123456789")


def test_what_a_client_has_is_not_sent_again(client: TestClient, house: Service) -> None:
    (job,) = house.store.newest(1)
    for path in (f"/api/jobs/{job.id}/result", f"/api/jobs/{job.id}/input", "/", "/page/jobs.js"):
        first = client.get(path)
        for condition in (
            {"If-None-Match": first.headers["etag"]},
            {"If-None-Match": f'"another", W/{first.headers["etag"]}'},
            {"If-Modified-Since": first.headers["last-modified"]},
            {"If-None-Match": first.headers["etag"], "Range": "bytes=99999-"},
        ):
            again = client.get(path, headers=condition)
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
            assert client.head(path, headers=condition).status_code == 304
        for condition in ({"If-None-Match": '"another"'}, {"If-Modified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}):
            assert client.get(path, headers=condition).content == first.content


WRONG_INPUTS: list[tuple[Any, str]] = [
    ({"path": "a.png", "url": "https://x.example/a.png"}, "input: takes an object with one of path, upload and url."),
    ({"pth": "a.png"}, "input: takes an object with one of path, upload and url."),
    ("a.png", "input: takes an object with one of path, upload and url."),
    ({"path": "a.png", "name": "b"}, "input.name: is no field. Choose from path."),
    ({"path": ""}, "input.path: String should have at least 1 character."),
    ({"path": "\0"}, "input.path: no such file below the folders that are allowed here."),
]


@pytest.mark.parametrize(("given", "why"), WRONG_INPUTS)
def test_what_is_wrong_with_an_input_is_told_of_the_one_that_was_meant(
    client: TestClient, given: Any, why: str
) -> None:
    status = 403 if "no such file" in why else 422
    assert problem(client.post("/api/jobs", json={"input": given}), status) == why


def test_fields_of_predictions_are_named_as_theirs(client: TestClient) -> None:
    def told(**given: Any) -> str:
        return problem(client.post("/predictions", json={"input": {"image": "data:,", **given}}), 422)

    assert told(nett={}) == "input.nett: is no field. Did you mean input.net?"
    assert told(long_side=4) == "input.long_side: is no field. Did you mean input.target.long_side?"
    assert told(net={"device": "cpu"}) == "input.net.device: is not for clients: the owner's. Leave it out."
    assert told(net={"til": 1}) == "input.net.til: is no field. Did you mean input.net.tile?"


def test_what_a_model_is_for_is_told_of_each_scale(client: TestClient) -> None:
    models = {model["name"]: model for model in client.get("/api/models").json()}
    assert models["realesrgan"]["about"].startswith("x4: photos, real-world damage")
    assert "; x2: photos at scale 2" in models["realesrgan"]["about"]
    assert not models["espcn"]["about"].startswith("x")


@pytest.mark.parametrize(("trusted", "scheme"), [((), "http"), (("10.0.0.0/8",), "http"), (("127.0.0.1",), "https")])
def test_only_a_trusted_proxy_says_how_it_was_called(tmp_path: Path, trusted: tuple[str, ...], scheme: str) -> None:
    async def application(scope: Any, _: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-seen", scope["scheme"].encode())]})
        await send({"type": "http.response.body", "body": b""})

    config = configured(application, ServiceSettings(data=tmp_path, trust_proxy=trusted))
    config.load()
    assert config.http_protocol_class.__name__ == "H11Protocol"  # whatever else is installed: others lose bodies
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
    answer = finished(call(config.loaded_app, "GET", "/", sending(), Answer(), headers=headers))
    assert answer.headers["x-seen"] == scheme
    with pytest.raises(OptionError, match="neither an address nor a network"):
        ServiceSettings(data=tmp_path, trust_proxy=("nas",))


def test_answers_do_not_wait_for_the_acknowledgement_of_their_headers(tmp_path: Path) -> None:
    async def delay_of_connections() -> int:
        seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted = writer.get_extra_info("socket")
            seen.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(connected, sock=bound(ServiceSettings(data=tmp_path, port=0))) as server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            no_delay = await seen
            writer.close()
            return no_delay

    assert finished(delay_of_connections()) != 0


def test_a_source_that_goes_while_its_job_begins_is_no_fault(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file any more"):
        digest(tmp_path / "gone.png")


def test_a_data_folder_that_cannot_be_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as refused:
        Service(ServiceSettings(data=tmp_path / "file"))
    assert str(refused.value) == f"{tmp_path / 'file'}: cannot be used (File exists). Choose another data=."


@pytest.mark.slow
def test_a_device_that_there_is_not_is_refused_in_the_words_of_the_command_line(run: "Run", tmp_path: Path) -> None:
    with pytest.raises(OptionError) as refused:
        check_devices(("auto", "cpu", "foo"), "auto", called="worker")
    by_command = run(tmp_path / "none.png", "--device", "foo")
    served = run("serve", "--worker", "foo", "--data", tmp_path)
    assert (by_command.code, served.code) == (2, 2)
    assert str(refused.value).removeprefix("worker='foo'") in by_command.err
    assert by_command.err.replace("--device foo", "--worker foo") == served.err
    with pytest.raises(OptionError, match=r"device npu: OpenVINO sees|npu.* is not installed here"):
        check_devices(("npu",), "auto")
