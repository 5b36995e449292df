"""The service over HTTP, in this process: jobs in, results out, errors as problems."""

import base64
import dataclasses
import json
import multiprocessing
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")

from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse

from tests.serving import OPTIONS, client, ended, environment, pictures, problem, sent, service
from tests.waiting import until
from upscale_cli.errors import OptionError, OutputError
from upscale_cli.service.guard import COOKIE, Guard, session_of
from upscale_cli.service.hub import Subscription, Told
from upscale_cli.service.problem import Problem
from upscale_cli.service.request import WITHHELD, described, parsed, request_of
from upscale_cli.service.service import Service
from upscale_cli.service.settings import ServiceSettings

__all__ = ["client", "environment", "pictures", "service"]

if TYPE_CHECKING:
    from tests.command import Run


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


def test_nobody_hears_what_was_chosen_for_another(client: TestClient, pictures: Path) -> None:
    slow = sent(client, pictures / "a.png", {"model": "espcn", "target": {"scale": 64}, "net": {"tile": 8}})["id"]
    until(lambda: client.get(f"/api/jobs/{slow}").json()["state"] == "running")
    other = ended(client, sent(client, pictures / "b.jpg", {"target": {"scale": 2}})["id"])
    assert (other["state"], other["events"].count("chosen")) == ("done", 1)
    assert client.get(f"/api/jobs/{slow}").json()["state"] == "running"
    client.post(f"/api/jobs/{slow}/cancel")
    assert "chosen" not in ended(client, slow)["events"]


def test_what_fails_says_why_and_goes_again(client: TestClient, service: Service, pictures: Path) -> None:
    job = ended(client, sent(client, pictures / "none.png")["id"])
    assert (job["state"], job["result_name"]) == ("failed", "")
    assert job["message"].startswith("none.png: ")
    assert str(service.settings.data) not in json.dumps(job)
    assert "no result" in problem(client.get(f"/api/jobs/{job['id']}/result"), 409)
    again = client.post(f"/api/jobs/{job['id']}/retry")
    assert again.json()["state"] in ("queued", "running")
    assert ended(client, job["id"])["state"] == "failed"
    assert "only one that has failed" in problem(client.post(f"/api/jobs/{sent_done(client, pictures)}/retry"), 409)
    assert client.delete(f"/api/jobs/{job['id']}").status_code == 204
    assert not service.folders.job(job["id"]).exists()
    problem(client.get(f"/api/jobs/{job['id']}"), 404)


def sent_done(client: TestClient, pictures: Path) -> str:
    """A job that has a result; always the same one."""
    return str(ended(client, sent(client, pictures / "a.png", key="done")["id"])["id"])


def test_a_request_that_comes_twice_is_one_job(client: TestClient, pictures: Path) -> None:
    assert sent_done(client, pictures) == sent_done(client, pictures)


def test_an_input_below_an_allowed_folder_is_taken_and_no_other(
    client: TestClient, pictures: Path, tmp_path: Path
) -> None:
    job = ended(client, client.post("/api/jobs", json={"input": {"path": "b.jpg"}, **OPTIONS}).json()["id"])
    assert (job["state"], job["result_name"]) == ("done", "b_2x.jpg")
    (tmp_path / "c.png").write_bytes((pictures / "a.png").read_bytes())
    outside = (str(tmp_path / "c.png"), f"../{tmp_path.name}/c.png", "/etc/passwd", "none", "a.png\0", "")
    for path in outside[:-1]:
        assert "no such file" in problem(client.post("/api/jobs", json={"input": {"path": path}}), 403)
    problem(client.post("/api/jobs", json={"input": {"path": outside[-1]}}), 422)


REFUSED: list[tuple[dict[str, Any] | str, str]] = [
    ({"model": "/etc/passwd"}, "model = '/etc/passwd' is not known here"),
    ({"model": "omdb:4x-UltraSharp"}, "is not known here"),
    ({"net": {"overlap": 9, "tile": 8}}, "net.overlap"),
    ({"net": {"device": "cuda"}}, "net.device: is not for clients: the owner's. Leave it out."),
    ({"net": {"mask": "/etc/passwd"}}, "net.mask: is not for clients: a file"),
    ({"net": {"strenght": 1}}, "net.strenght: is no field. Did you mean net.strength?"),
    ({"scale": 2}, "scale: is no field. Did you mean target.scale?"),
    ({"target": {"sides": 2}}, "target.sides: is no field. Choose from "),
    ({"clip": {"encode": {"extra": [["stats", "/tmp/x"]]}}}, "clip.encode.extra: is not for clients"),
    ({"photo": {"quality": 101}}, "photo.quality = 101 is out of range"),
    ({"target": {"scale": 2, "long_side": 4}}, "exclude each other"),
    ({"target": {"scale": "much"}}, "target.scale: "),
    ({"format": "exe"}, "format = 'exe' is not known"),
    ("{", "Invalid JSON"),
]


@pytest.mark.parametrize(("options", "why"), REFUSED, ids=[why[:20] for _, why in REFUSED])
def test_wrong_options_name_their_field(client: TestClient, options: dict[str, Any] | str, why: str) -> None:
    text = options if isinstance(options, str) else json.dumps(options)
    answer = client.post("/api/jobs", files={"file": ("a.png", b"x")}, data={"options": text})
    assert why in problem(answer, 422)


def test_what_is_no_upload_is_refused_and_leaves_nothing(client: TestClient, service: Service) -> None:
    def form(*parts: bytes, end: bytes = b"--x--\r\n") -> Any:
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        return client.post("/api/jobs", content=b"".join(parts) + end, headers=kind)

    file = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n%s\r\n'
    jobs = client.get("/api/jobs").json()["jobs"]
    assert "breaks off" in problem(form(file % b"abc", end=b""), 400)
    assert "damaged" in problem(form(b"--y\r\n"), 400)
    assert "more than one" in problem(form(file % b"a", file % b"b"), 400)
    assert "file: is missing" in problem(
        form(b'--x\r\nContent-Disposition: form-data; name="options"\r\n\r\n{}\r\n'), 422
    )
    assert "200,000" in problem(form(file % bytes(200_001)), 413)
    problem(form(file.replace(b"a.png", b"a" * 20_000) % b""), 400)
    assert "no form" in problem(client.post("/api/jobs", content=b"abc"), 415)
    assert ".exe" in problem(client.post("/api/jobs", files={"file": ("../a.exe", b"x")}), 415)
    assert client.get("/api/jobs").json()["jobs"] == jobs
    assert [*service.folders.uploads.iterdir()] == []


def test_a_name_never_becomes_a_path(client: TestClient, service: Service, pictures: Path) -> None:
    data = (pictures / "a.png").read_bytes()
    names = {
        "../../../../tmp/x.png": "x.png",
        "C:\\a\\b.PNG": "b.PNG",
        "/etc/a\nb.png": "a_b.png",
        "é" * 300 + ".png": "é" * 196 + ".png",
    }
    for name, shown in names.items():
        job = client.post("/api/jobs", files={"file": ("a.png", data)}, data={"options": json.dumps(OPTIONS)})
        assert job.status_code == 201
        from upscale_cli.service.folders import shown_name

        assert shown_name(name) == shown
        assert [*service.folders.job(job.json()["id"]).glob("input.*")]


def test_a_bomb_is_refused_by_its_header(client: TestClient, tmp_path: Path) -> None:
    Image.new("RGB", (60, 60)).save(tmp_path / "large.png")
    job = ended(client, sent(client, tmp_path / "large.png")["id"])
    assert (job["state"], "2,000" in job["message"]) == ("failed", True)


@pytest.mark.slow
def test_a_job_that_runs_is_dropped_and_leaves_nothing(client: TestClient, service: Service, pictures: Path) -> None:
    job = sent(client, pictures / "a.png", {"model": "espcn", "target": {"scale": 64}, "net": {"tile": 8}})
    with client.stream("GET", f"/api/jobs/{job['id']}/events") as stream:
        for line in stream.iter_lines():
            if line == "event: progress":
                break
    assert client.post(f"/api/jobs/{job['id']}/cancel").status_code == 200
    cancelled = ended(client, job["id"])
    assert (cancelled["state"], cancelled["message"]) == ("cancelled", "")
    assert [path.name for path in service.folders.job(job["id"]).iterdir()] == ["input.png"]
    assert client.post(f"/api/jobs/{job['id']}/cancel").json()["state"] == "cancelled"
    assert ended(client, sent(client, pictures / "a.png")["id"])["state"] == "done"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_a_worker_that_dies_takes_neither_job_nor_service_along(
    client: TestClient, service: Service, pictures: Path
) -> None:
    job = sent(client, pictures / "a.png", {"model": "espcn", "target": {"scale": 64}, "net": {"tile": 8}})
    starts = 0
    with client.stream("GET", f"/api/jobs/{job['id']}/events") as stream:
        for line in stream.iter_lines():
            starts += line == "event: started"
            if line == "event: started" and starts == 1:
                (worker,) = multiprocessing.active_children()
                worker.kill()
            elif line == "event: started":
                client.post(f"/api/jobs/{job['id']}/cancel")
    assert starts == 2
    stored = service.job(job["id"])
    assert (stored.state, stored.begun, stored.deaths) == ("cancelled", 2, 1)
    assert ended(client, sent(client, pictures / "a.png")["id"])["state"] == "done"


def test_what_is_too_old_or_too_much_goes_and_a_full_queue_takes_no_more(tmp_path: Path) -> None:
    idle = Service(ServiceSettings(data=tmp_path, max_queue=3, keep_days=1, keep_size=100, min_free=0))
    ids = []
    for number in range(3):
        (tmp_path / "a.png").write_bytes(b"x" * 40)
        job = idle.submit(parsed(""), name="a.png", arrived=tmp_path / "a.png", key=str(number))
        ids.append(job.id)
    with pytest.raises(Problem, match="3 jobs wait already"):
        idle.submit(parsed(""), name="a.png", source=idle.folders.input(ids[0], ""))
    assert idle.submit(parsed(""), name="a.png", source=idle.folders.input(ids[0], ""), key="0").id == ids[0]
    for age, id in zip((90_000, 20, 10), ids, strict=True):
        idle.store.update(id, state="done", ended=time.time() - age, result_bytes=20)
    idle.tidy()
    assert [job.id for job in idle.store.newest(9)] == [ids[2]]
    assert [path.name for path in idle.folders.jobs.iterdir()] == [ids[2]]
    idle.close()


def test_what_has_ended_last_is_kept_although_the_clock_went_back(tmp_path: Path) -> None:
    idle = Service(ServiceSettings(data=tmp_path, keep_size=100, min_free=0))
    ids = []
    for ahead in (9000, 5000, -5):  # seconds
        (tmp_path / "a.png").write_bytes(b"x")
        ids.append(idle.submit(parsed(""), name="a.png", arrived=tmp_path / "a.png").id)
        idle.store.update(ids[-1], state="done", ended=time.time() + ahead, result_bytes=60)
    idle.tidy()
    assert [job.id for job in idle.store.newest(9)] == [ids[2]]
    idle.close()


# Who may ask

GUARDED: list[tuple[dict[str, str], int]] = [
    ({"Host": "evil.example"}, 421),
    ({"Host": "localhost:8477"}, 200),
    ({"Host": "LOCALHOST"}, 200),
    ({"Host": "[::1]:80"}, 200),
    ({"Host": "127.0.0.1@evil.example"}, 421),
    ({"Host": "127.0.0.1.evil.example"}, 421),
    ({"Host": "photos.home"}, 200),
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://localhost:8477"}, 403),
    ({"Host": "localhost:8477", "Origin": "http://localhost:8477"}, 200),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"Sec-Fetch-Site": "same-origin"}, 200),
    ({"Authorization": "Bearer wrong-token-wrong"}, 401),
    ({"Authorization": "Basic dXNlcjp0b2tlbi10b2tlbi10b2tlbg=="}, 401),
    ({"Authorization": ""}, 401),
    ({"Authorization": "", "Cookie": "upscale_session=token-token-token"}, 401),
]


@pytest.fixture(scope="module")
def guarded() -> TestClient:
    """An application behind the guard, with a token."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("in")(scope, receive, send)

    settings = ServiceSettings(data=Path("none"), token=TOKEN, allow_host=("photos.home",))
    return TestClient(Guard(application, settings, TOKEN), base_url="http://localhost")


TOKEN = "token-token-token"


@pytest.mark.parametrize(("headers", "status"), GUARDED)
def test_only_those_come_in_who_may(guarded: TestClient, headers: dict[str, str], status: int) -> None:
    answer = guarded.post("/api/jobs", headers={"Authorization": f"Bearer {TOKEN}", **headers})
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    if status != 200:
        problem(answer, status)


def test_a_token_gives_a_browser_its_cookie(guarded: TestClient) -> None:
    cookie = {"Cookie": f"{COOKIE}={session_of(TOKEN)}"}
    assert guarded.get("/api/jobs", headers=cookie).status_code == 200
    assert (
        guarded.get("/api/jobs", headers={"Cookie": f"{COOKIE}={session_of('another-token-yes')}"}).status_code == 401
    )
    assert guarded.get("/health").status_code == guarded.get("/").status_code == 200
    assert guarded.get("/metrics").status_code == guarded.get("/page/../api/jobs").status_code == 401


def test_a_service_for_others_makes_a_token_and_keeps_it(tmp_path: Path) -> None:
    for _ in range(2):
        service = Service(ServiceSettings(data=tmp_path, host="0.0.0.0"))
        assert service.token is not None
        assert service.folders.token.read_text() == service.token
        assert len(service.token) > 40
        with pytest.raises(OutputError, match="another service uses this folder"):
            Service(ServiceSettings(data=tmp_path))
        service.close()
    with pytest.raises(OptionError, match="takes 16 ASCII characters"):
        ServiceSettings(data=tmp_path, token="short")


# In pieces


def test_an_upload_in_pieces_goes_on_where_it_broke_off(client: TestClient, service: Service, pictures: Path) -> None:
    data, tus = (pictures / "a.png").read_bytes(), {"Tus-Resumable": "1.0.0"}
    name = base64.b64encode(b"large.png").decode()
    begun = client.post(
        "/api/uploads", headers={**tus, "Upload-Length": str(len(data)), "Upload-Metadata": f"filename {name}"}
    )
    assert begun.status_code == 201
    place = begun.headers["location"]

    def piece(offset: int, content: bytes) -> Any:
        kind = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
        return client.patch(place, headers={**tus, **kind}, content=content)

    job = {"input": {"upload": place.rpartition("/")[2]}, **OPTIONS}
    assert piece(0, data[:100]).headers["upload-offset"] == "100"
    assert "is not where the upload ends: 100" in problem(piece(50, data[50:]), 409)
    assert "goes beyond" in problem(piece(100, data), 413)
    asked = client.head(place, headers=tus).headers
    assert (asked["upload-offset"], asked["upload-length"]) == ("100", str(len(data)))
    assert "Send the rest first" in problem(client.post("/api/jobs", json=job), 409)
    assert piece(100, data[100:]).status_code == 204
    accepted = client.post("/api/jobs", json=job)
    assert (accepted.status_code, accepted.json()["name"]) == (201, "large.png")
    assert ended(client, accepted.json()["id"])["state"] == "done"
    problem(client.post("/api/jobs", json=job), 404)
    assert [*service.folders.uploads.iterdir()] == []
    assert "1.0.0" in problem(client.post("/api/uploads"), 412)


# What happens


def test_streams_are_bounded_and_hear_of_all(client: TestClient, service: Service, pictures: Path) -> None:
    async def open_all() -> list[Subscription]:
        return [service.hub.subscribe() for _ in range(service.settings.max_streams)]

    assert client.portal is not None
    heard = client.portal.call(open_all)
    assert "are open already" in problem(client.get("/api/events"), 503)
    job = sent(client, pictures / "a.png")

    async def hear() -> list[Told]:
        told: list[Told] = []
        while not any(one.kind == "job" and one.data["state"] == "done" for one in told):
            told += await heard[0].next() or []
        return told

    assert {"job", "started"} <= {one.kind for one in client.portal.call(hear) if one.job == job["id"]}
    for subscription in heard:
        service.hub.leave(subscription)
    assert service.hub.listeners == 0


def test_what_the_service_has_is_told(client: TestClient, service: Service) -> None:
    until(lambda: client.get("/health").json()["status"] == "ready")
    models = {model["name"]: model for model in client.get("/api/models").json()}
    assert models["espcn"]["here"]
    assert models["bicubic"]["scales"] == ["any"]
    assert client.get("/api/limits").json()["max_upload"] == service.settings.max_upload
    text = client.get("/metrics").text
    assert 'upscale_jobs_ended_total{state="done"}' in text
    assert "<h1" in client.get("/").text
    assert client.put("/api/jobs").headers["allow"] == "GET, HEAD, POST"


def test_the_document_is_complete(client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    references = set(re.findall(r"#/components/schemas/([\w-]+)", json.dumps(document)))
    assert references <= set(document["components"]["schemas"])
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert len(operations) > 20
    for operation in operations:
        assert operation["description"]
        assert {"400", "401", "403", "421", "500"} <= set(operation["responses"])
        if operation["operationId"].endswith("_head"):
            continue  # without bodies
        for status, answer in operation["responses"].items():
            assert int(status) < 400 or list(answer["content"]) == ["application/problem+json"]


def test_every_option_is_offered_or_withheld_for_a_reason() -> None:
    for kind, withheld in WITHHELD.items():
        names = {field.name for field in dataclasses.fields(kind)}
        assert set(withheld) <= names, kind
        assert names <= set(described(kind)), kind
    request = request_of(
        parsed('{"clip": {"decode": {"end": 2}, "encode": {"crf": 20}}, "target": {"box": [8, null]}}')
    )
    assert (request.clip.decode.end, request.clip.encode.crf) == (2, 20)
    assert request.target is not None
    assert request.target.box == (8, None)
