"""The service against clients that mean harm, or are merely broken: refused, logged, and nothing else disturbed."""

import asyncio
import io
import json
import logging
import sqlite3
import struct
import sys
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")

from fastapi.testclient import TestClient

from tests.asgi import Answer, call, endless, finished, leaving, sending
from tests.pictures import png_chunk
from upscale_cli.errors import InputError, OutputError, UpscaleError
from upscale_cli.executors.threads import ThreadExecutor
from upscale_cli.files.atomic_file import HOST, TEMPORARY
from upscale_cli.service import hangups, outbound, pace, upload
from upscale_cli.service.app import create_app
from upscale_cli.service.dispatcher import names_in
from upscale_cli.service.folders import LONGEST_SHOWN, ending_of, shown_name
from upscale_cli.service.messages_between import Ended, Task, WorkerSetup
from upscale_cli.service.progress import Watched
from upscale_cli.service.request import owned, parsed, request_of
from upscale_cli.service.service import Service
from upscale_cli.service.settings import ServiceSettings
from upscale_cli.service.store import Store

if TYPE_CHECKING:
    from fastapi import FastAPI

TOKEN = "a token of the owner's"
FORM = {"content-type": "multipart/form-data; boundary=x"}
BEGIN = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
END = b"\r\n--x--\r\n"


class House:
    """A service without workers: jobs wait. With it what the log has heard."""

    def __init__(self, data: Path, **settings: Any) -> None:
        self.service = Service(ServiceSettings(data=data, min_free=0, **settings))
        self.app: FastAPI = create_app(self.service)
        self.client = TestClient(self.app, base_url="http://localhost", raise_server_exceptions=False)

    def send(self, name: str = "a.png", data: bytes = b"x", **options: Any) -> Any:
        return self.client.post("/api/jobs", files={"file": (name, data)}, data={"options": json.dumps(options)})

    def left(self) -> list[str]:
        """Names of what lies in the folders of uploads and jobs."""
        folders = self.service.folders
        return sorted(path.name for folder in (folders.uploads, folders.jobs) for path in folder.iterdir())


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "data", max_upload=100_000, max_queue=5, max_streams=4)
    yield made
    made.service.close()


@pytest.fixture(scope="module")
def open_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Bound to all addresses, with a token, and known by a name."""
    made = House(tmp_path_factory.mktemp("open"), host="0.0.0.0", token=TOKEN, allow_host=("nas.example",))
    yield made
    made.service.close()


def problem(answer: Any, status: int) -> str:
    """What a refusal says, of an `Answer` or a client's response."""
    code = answer.status if isinstance(answer, Answer) else answer.status_code
    body = answer.json()
    assert (code, answer.headers["content-type"]) == (status, "application/problem+json"), body
    assert (body["status"], "\n" in body["detail"]) == (status, False)
    return str(body["detail"])


BEARER = {"Authorization": f"Bearer {TOKEN}"}
FRIENDS = [
    {"Host": "nas.example"},
    {"Host": "NAS.example:8477", "Origin": "http://nas.example:8477"},
    {"Host": "nas.example", "Origin": "https://nas.example"},
    {"Host": "192.168.1.5:8477", "Origin": "http://192.168.1.5:8477", "Sec-Fetch-Site": "same-origin"},
    {"Host": "[fd00::5]:8477", "Origin": "http://[fd00::5]:8477"},
]  # fmt: skip
STRANGERS = [
    (421, {"Host": "evil.example"}),
    (421, {"Host": "nas.example.evil.example"}),
    (421, {"Host": "nas.example@evil.example"}),
    (421, {"Host": "evil.example:80@nas.example"}),
    (421, {"Host": "2130706433"}),
    (421, {"Host": "nas.example:99999"}),
    (421, {"Host": ""}),
    (403, {"Host": "nas.example", "Origin": "https://evil.example"}),
    (403, {"Host": "nas.example", "Origin": "null"}),
    (403, {"Host": "nas.example", "Origin": "http://nas.example:8080"}),
    (403, {"Host": "nas.example", "Origin": "http://nas.example@evil.example"}),
    (403, {"Host": "192.168.1.5:8477", "Origin": "http://203.0.113.7:8477"}),
    (403, {"Host": "localhost:8477", "Origin": "http://localhost:3000"}),
    (403, {"Host": "nas.example", "Origin": "file://nas.example"}),
    (403, {"Host": "nas.example", "Sec-Fetch-Site": "cross-site"}),
    (403, {"Host": "nas.example", "Sec-Fetch-Site": "same-site"}),
]  # fmt: skip


@pytest.mark.parametrize("headers", FRIENDS, ids=lambda headers: " ".join(headers.values()))
def test_who_calls_the_service_by_its_name_is_heard(open_house: House, headers: dict[str, str]) -> None:
    assert open_house.client.get("/api/jobs", headers=BEARER | headers).status_code == 200
    problem(open_house.client.post("/api/jobs/none/cancel", headers=BEARER | headers), 404)


@pytest.mark.parametrize(("status", "headers"), STRANGERS, ids=[" ".join(headers.values()) for _, headers in STRANGERS])
def test_another_site_s_page_gets_nothing_even_with_the_token(
    open_house: House, caplog: pytest.LogCaptureFixture, status: int, headers: dict[str, str]
) -> None:
    for method in ("GET", "POST"):
        problem(open_house.client.request(method, "/api/jobs", headers=BEARER | headers), status)
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == ["refused"] * 2


def test_a_link_to_the_page_may_be_followed_and_not_framed(open_house: House) -> None:
    link = {"Host": "nas.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert (
        open_house.client.get("/api/limits", headers=BEARER | link | {"Sec-Fetch-Dest": "document"}).status_code == 200
    )
    problem(open_house.client.get("/api/limits", headers=BEARER | link | {"Sec-Fetch-Dest": "iframe"}), 403)


WRONG = [
    {},
    {"Authorization": "Bearer"},
    {"Authorization": f"Bearer {TOKEN[:-1]}"},
    {"Authorization": f"Bearer {TOKEN} x"},
    {"Authorization": f"Basic {TOKEN}"},
    {"Authorization": f"Bearer {'x' * 10_000}"},
    {"Authorization": b"Bearer \xff\xfe"},
    {"Cookie": f"upscale_session={TOKEN}"},
    {"Cookie": 'upscale_session="\\777'},
    {"Cookie": "=;=;"},
]  # fmt: skip


@pytest.mark.parametrize("headers", WRONG, ids=range(len(WRONG)))
def test_a_wrong_token_opens_nothing(
    open_house: House, caplog: pytest.LogCaptureFixture, headers: dict[str, Any]
) -> None:
    for path in ("/api/jobs", "/api/events", "/metrics", "/api/openapi.json", "/api/limits", "/page/../api/jobs"):
        answer = open_house.client.get(path, headers={"Host": "nas.example", **headers})
        assert answer.status_code == 401 or path.startswith("/page/")
    refused = [record for record in caplog.records if record.message == "refused"]
    assert {getattr(record, "status", None) for record in refused} == {401}
    assert TOKEN not in caplog.text


def test_the_cookie_of_a_session_is_not_the_token_and_a_wrong_one_is_logged(
    open_house: House, caplog: pytest.LogCaptureFixture
) -> None:
    client = TestClient(open_house.app, base_url="http://nas.example")
    problem(client.post("/api/session", json={"token": "no token of the owner's"}), 401)
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == ["refused"]
    assert client.post("/api/session", json={"token": TOKEN}).status_code == 204
    assert TOKEN not in str(client.cookies)
    assert client.get("/api/jobs").status_code == 200


@given(st.text(min_size=1))
def test_a_name_is_for_show(name: str) -> None:
    shown = shown_name(name)
    assert shown.isprintable()
    assert 0 < len(shown) <= LONGEST_SHOWN
    assert not set(shown) & set("/\\")
    assert shown not in (".", "..")


@pytest.mark.parametrize("name", ["../../evil.png", "..\\..\\evil.png", "/etc/evil.png", "C:evil.png", "a\0/evil.png",
                                  '"; filename="evil.png', "evil.png\r\nX: y.png"])  # fmt: skip
def test_a_name_never_becomes_a_path(house: House, name: str) -> None:
    quoted = name.replace('"', "%22").replace("\r\n", "%0D%0A").encode()
    body = BEGIN.replace(b"a.png", quoted) + b"x" + END
    job = house.client.post("/api/jobs", content=body, headers=FORM)
    assert job.status_code == 201, job.text
    id = job.json()["id"]
    assert house.left() == [id]
    assert [path.name for path in house.service.folders.job(id).iterdir()] == ["input.png"]
    sent = house.client.get(f"/api/jobs/{id}/input")
    assert sent.content == b"x"
    assert sent.headers["content-security-policy"].startswith("sandbox")


@pytest.mark.parametrize("id", ["..", "../../etc", "A", "a" * 65, "a\0", "%2e%2e"])
def test_an_id_that_is_none_names_nothing(house: House, id: str) -> None:
    for path in (f"/api/jobs/{id}/input", f"/api/jobs/{id}/result", f"/api/jobs/{id}/events"):
        # A client would take ".." out of the address.
        problem(finished(call(house.app, "GET", path, sending(), Answer())), 422 if len(id) > 64 else 404)


def test_an_input_s_path_that_no_file_can_have_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    house = House(tmp_path / "data", allow_folder=(tmp_path / "media",))
    for path in ("a" * 4000 + ".png", "a/" * 2000 + ".png", "x\0.png", "\u202e.png", "~/x.png", "file:///etc/passwd"):
        problem(house.client.post("/api/jobs", json={"input": {"path": path}}), 403)
    house.service.close()


MODELS = ["/etc/passwd", "../x", "a/b", "x.pth", "x.safetensors", "file:///x", "https://evil.example/x.pth",
          "omdb:4x-UltraSharp", "\\\\evil\\x", "x\0", "", "espcn/../x", "__import__('os')"]  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_a_checkpoint_is_of_the_registry_or_the_owner_s(house: House, model: str) -> None:
    assert "model" in problem(house.send(model=model), 422)
    assert house.left() == []


def test_sixty_jobs_too_many_are_refused_and_disturb_nobody(house: House, caplog: pytest.LogCaptureFixture) -> None:
    taken = [house.send(model="bicubic").json()["id"] for _ in range(5)]
    for _ in range(60):
        answer = house.send(model="bicubic")
        problem(answer, 503)
        assert answer.headers["retry-after"]
    assert sum(record.message == "refused" for record in caplog.records) == 60
    assert house.left() == sorted(taken)
    assert [job["state"] for job in house.client.get("/api/jobs").json()["jobs"]] == ["queued"] * 5
    house.client.post(f"/api/jobs/{taken[0]}/cancel")
    assert house.send(model="bicubic").status_code == 201


async def flood(begin: bytes, answer: Answer, taken: list[int]) -> AsyncIterator[bytes]:
    """A body without end; `taken` counts what is read before there is an answer."""
    yield begin
    while True:
        if not answer.status:
            taken.append(1)
        yield bytes(10_000)


@pytest.fixture
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What still comes after an answer is taken for a moment only."""
    monkeypatch.setattr(hangups, "LINGER_SECONDS", 0.05)


@pytest.mark.parametrize(("begin", "status"), [(BEGIN, 413), (BEGIN + b"x" + END, 400),
                                               (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n', 413),
                                               (b"--x\r\nA: ", 400)])  # fmt: skip
@pytest.mark.usefixtures("briefly")
def test_an_upload_that_never_ends_ends(house: House, begin: bytes, status: int) -> None:
    taken: list[int] = []
    answer, sent = Answer(), FORM | {"transfer-encoding": "chunked"}
    finished(call(house.app, "POST", "/api/jobs", endless(flood(begin, answer, taken)), answer, sent))
    problem(answer, status)
    assert answer.headers["connection"] == "close"
    assert len(taken) < 12
    assert house.left() == []


@pytest.mark.usefixtures("briefly")
def test_whoever_asks_for_a_session_cannot_fill_the_memory(open_house: House) -> None:
    taken: list[int] = []
    headers = {"host": "nas.example", "content-type": "application/json", "transfer-encoding": "chunked"}
    answer = Answer()
    body = endless(flood(b'{"token": "', answer, taken))
    problem(finished(call(open_house.app, "POST", "/api/session", body, answer, headers)), 413)
    assert len(taken) < 12


def test_a_cookie_is_for_tls_where_the_browser_speaks_it(open_house: House) -> None:
    headers = {"Host": "nas.example", "Origin": "https://nas.example"}
    answer = open_house.client.post("/api/session", json={"token": TOKEN}, headers=headers)
    assert "secure" in answer.headers["set-cookie"].lower()
    open_house.client.cookies.clear()


@pytest.mark.usefixtures("briefly")
def test_what_is_announced_too_large_is_not_even_read(house: House) -> None:
    taken: list[int] = []
    answer, announced = Answer(), FORM | {"content-length": str(10**15)}
    body = endless(flood(b"", answer, taken))
    problem(finished(call(house.app, "POST", "/api/jobs", body, answer, announced)), 413)
    assert taken == []


def test_a_client_that_drips_is_given_up() -> None:
    slow, now = pace.Pace(0.0), 0.0
    while slow.keeps(1, now):
        now += 1
        assert now < 2 * pace.IDLE_SECONDS
    assert pace.Pace(0.0).keeps(pace.LEAST_BYTES, pace.IDLE_SECONDS)


@pytest.mark.parametrize(("address", "is_open"), [
    ("64:ff9b::7f00:1", False), ("64:ff9b::808:808", True), ("2002:7f00:1::", False), ("::ffff:127.0.0.1", False),
    ("169.254.169.254", False), ("fd00::1", False), ("fe80::1%eth0", False), ("2606:4700::1", True),
])  # fmt: skip
def test_an_address_behind_a_gateway_is_the_one_it_leads_to(address: str, is_open: bool) -> None:
    assert outbound.is_public(address) == is_open


def test_two_large_uploads_do_not_exclude_each_other(house: House) -> None:
    tus = {"Tus-Resumable": "1.0.0", "Upload-Metadata": "filename YS5wbmc=", "Upload-Length": "90000"}
    assert [house.client.post("/api/uploads", headers=tus).status_code for _ in range(2)] == [201, 201]
    problem(house.client.post("/api/uploads", headers=tus | {"Upload-Length": "100001"}), 413)


def test_more_bodies_at_once_than_are_taken_are_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MOST_AT_ONCE", 0)
    problem(house.send(), 503)
    assert house.left() == []


@pytest.mark.parametrize("chunks", [(), (BEGIN,), (BEGIN, b"x" * 5000), (BEGIN, b"x", END)])
def test_a_client_that_vanishes_while_it_sends_leaves_nothing(house: House, chunks: tuple[bytes, ...]) -> None:
    answer = finished(call(house.app, "POST", "/api/jobs", sending(*chunks, vanish=True), Answer(), FORM))
    assert answer.status == 400
    assert (house.left(), house.service.arriving) == ([], set())
    assert house.client.get("/api/jobs").json()["jobs"] == []


def test_a_client_that_vanishes_while_it_reads_takes_nobody_along(house: House) -> None:
    id = house.send(data=b"x" * 90_000).json()["id"]

    async def vanishing() -> None:
        gone = asyncio.Event()
        gone.set()
        await call(house.app, "GET", f"/api/jobs/{id}/input", leaving(gone), Answer())

    finished(vanishing())
    assert len(house.client.get(f"/api/jobs/{id}/input").content) == 90_000


def test_streams_are_limited_and_end_with_their_clients(house: House, caplog: pytest.LogCaptureFixture) -> None:
    id = house.send().json()["id"]

    async def crowd() -> None:
        gone = asyncio.Event()
        answers = [Answer() for _ in range(20)]
        path = f"/api/jobs/{id}/events"
        streams = [asyncio.create_task(call(house.app, "GET", path, leaving(gone), answer)) for answer in answers]
        await asyncio.gather(*(answer.began.wait() for answer in answers))
        assert sorted(answer.status for answer in answers) == [200] * 4 + [503] * 16
        assert (await call(house.app, "GET", "/health", sending(), Answer())).status == 200
        gone.set()
        await asyncio.gather(*streams)

    finished(crowd())
    assert house.service.hub.listeners == 0
    assert sum(record.message == "refused" for record in caplog.records) == 16


@pytest.mark.parametrize(("asked", "status"), [("bytes=9-", 416), ("bytes=5-2", 416), ("lines=1-2", 400),
                                               ("bytes=", 400), ("bytes=0-0," * 2000 + "1-1", 200)])  # fmt: skip
def test_ranges_that_are_none_are_problems(house: House, asked: str, status: int) -> None:
    id = house.send(data=b"12345").json()["id"]
    answer = house.client.get(f"/api/jobs/{id}/input", headers={"Range": asked})
    assert answer.status_code == status
    if status > 399:
        problem(answer, status)
    assert len(answer.content) < 1000


def test_a_deep_or_endless_json_is_no_fault(house: House) -> None:
    kind = {"content-type": "application/json"}
    problem(house.client.post("/api/jobs", content=b"[" * 60_000, headers=kind), 422)
    problem(house.client.post("/api/jobs", content=b'{"a":' * 10_000, headers=kind), 422)
    problem(house.client.post("/api/jobs", content=b" " * 70_000, headers=kind), 413)
    problem(house.client.post("/api/jobs", content=b'{"' + b"a\\n" * 9000 + b'": 1}', headers=kind), 422)
    problem(house.client.post("/api/jobs", content=b'{"model": "\xff"}', headers=kind), 422)


# What is inside a file: a worker's business


def png_of(width: int, height: int) -> bytes:
    """A PNG that announces so many pixels, and has none."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(b""))
        + png_chunk(b"IEND", b"")
    )


def book_of(page: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("1.png", page)
    return buffer.getvalue()


LISTS = {
    "concat.mp4": b"ffconcat version 1.0\nfile secret.mp4\n",
    "hls.mp4": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    "dash.mp4": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    b'<Representation id="1" bandwidth="1"><BaseURL>secret.mp4</BaseURL></Representation></AdaptationSet></Period>'
    b"</MPD>",
    "sdp.mp4": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "playlist.mkv": b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://127.0.0.1:1/x\n",
}


@pytest.mark.parametrize(("name", "data", "why"), [
    ("bomb.png", png_of(60_000, 60_000), "pixels"),
    ("bomb.gif", b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;",
     "pixels"),
    *((name, data, "") for name, data in LISTS.items()),
], ids=str)  # fmt: skip
def test_a_file_that_is_a_trap_fails_alone(tmp_path: Path, name: str, data: bytes, why: str) -> None:
    from upscale_cli.service.worker_process import _Worker

    (tmp_path / name).write_bytes(data)
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    request = owned(request_of(parsed('{"model": "bicubic", "target": {"scale": 2}}')), engine="torch",
                    max_pixels=10**6, max_memory=None)  # fmt: skip
    task = Task("1", tmp_path / name, tmp_path / "output", request, 10**6)
    (tmp_path / "output").mkdir()
    (tmp_path / f"output/{TEMPORARY}{HOST}0123.part").write_bytes(b"of an attempt that was killed")
    worker = _Worker(None, WorkerSetup(tmp_path / "lock", "cpu", 1, None))  # type: ignore[arg-type]
    with pytest.raises(InputError) as caught:
        worker._prepared(task, lambda _: None)
    assert why in str(caught.value)
    assert [*(tmp_path / "output").iterdir()] == []


# Memory that others have


class Pipe:
    """The end of a worker's pipe that hears what it says."""

    def __init__(self) -> None:
        self.said: list[object] = []

    def send(self, message: object) -> None:
        self.said.append(message)


@pytest.mark.parametrize("is_alone", [True, False])
def test_a_job_that_others_leave_no_memory_waits_until_it_is_alone(tmp_path: Path, is_alone: bool) -> None:
    """What it needs is refused only where nothing else can be the reason."""
    from upscale_cli.service.worker_process import _Worker

    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    request = owned(request_of(parsed('{"model": "bicubic", "target": {"scale": 2}}')), engine="torch",
                    max_pixels=10**6, max_memory=1)  # fmt: skip
    pipe = Pipe()
    worker = _Worker(pipe, WorkerSetup(tmp_path / "lock", "cpu", 1, None))  # type: ignore[arg-type]
    if not is_alone:
        worker._in_progress["another"] = lambda _: None
    executor = ThreadExecutor(1)
    worker._begin(Task("1", tmp_path / "a.png", tmp_path / "output", request, 10**6), executor)
    executor.close()
    (ended,) = (message for message in pipe.said if isinstance(message, Ended))
    assert ended.how == ("failed" if is_alone else "interrupted")
    assert ("are left by" in ended.message) == is_alone


# A disk that is full


def job_in(store: Store, id: str = "1") -> None:
    store.add(id, name="a.png", kind="photo", request="{}", source="", input_bytes=1, most=10)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_queue_whose_disk_was_full_works_on(tmp_path: Path) -> None:
    import resource

    store = Store(tmp_path / "queue")
    job_in(store)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "queue-wal").stat().st_size, before[1]))
    try:
        for _ in range(2):
            with pytest.raises(sqlite3.OperationalError, match=r"full|I/O"):
                store.update("1", state="done")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    job = store.get("1")
    assert job is not None
    assert job.state == "queued"
    assert store.update("1", state="done") is not None
    store.close()


def test_the_end_of_a_job_outlasts_a_full_disk(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so does that it was accepted."""
    from upscale_cli.service import waiting
    from upscale_cli.service.worker import Worker

    monkeypatch.setattr(waiting, "QUEUE_SECONDS", 0.0)
    monkeypatch.setattr("threading.Timer", Later)
    dispatcher, store = house.service._dispatcher, house.service.store
    given: list[Task] = []
    worker = Worker.__new__(Worker)
    worker.number, worker.room, worker.in_progress, worker.is_closed = 0, 1, set(), False

    def give(task: Task, *, alone: bool) -> None:
        assert not alone
        given.append(task)
        worker.in_progress.add(task.id)

    monkeypatch.setattr(worker, "give", give)
    monkeypatch.setattr(worker, "stop", lambda: None)
    monkeypatch.setattr(worker, "join", lambda: None)
    dispatcher._workers[0], dispatcher.workers = worker, (worker,)
    update, failures = store.update, iter([True, False, True, True, False])

    def full_at_first(*given: Any, **changed: Any) -> Any:
        if next(failures, False):
            raise sqlite3.OperationalError("database or disk is full")
        return update(*given, **changed)

    monkeypatch.setattr(store, "update", full_at_first)
    answer = house.send(model="bicubic")
    assert answer.status_code == 201
    id = answer.json()["id"]
    assert [task.id for task in given] == [id]
    result = house.service.folders.output(id) / "input_2x.png"
    result.parent.mkdir()
    result.write_bytes(b"y")
    dispatcher._hear(worker, Ended(id, "done", "", result.name, {}))
    assert house.client.get(f"/api/jobs/{id}").json()["state"] == "done"
    assert worker.in_progress == set()


class Later:
    """A timer that does not wait."""

    daemon = False

    def __init__(self, _: float, do: Any, values: Any = ()) -> None:
        self._do, self._values = do, values

    def start(self) -> None:
        self._do(*self._values)


def test_an_upload_that_finds_no_room_is_refused_and_others_are_served(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    id = house.send().json()["id"]
    monkeypatch.setattr("upscale_cli.service.folders.Folders.free", lambda _: -1)
    assert "nearly full" in problem(house.send(), 507)
    assert house.client.get(f"/api/jobs/{id}/input").content == b"x"
    assert house.left() == [id]
    assert any(record.message == "refused" for record in caplog.records)


def test_a_service_that_is_stopped_often_is_no_fault_of_a_job(house: House) -> None:
    dispatcher, store = house.service._dispatcher, house.service.store
    id = house.send(model="bicubic").json()["id"]
    dispatcher._closing.set()
    for _ in range(10):
        job = store.get(id)
        assert job is not None
        store.update(id, state="running", begun=job.begun + 1)
        dispatcher._end(Ended(id, "interrupted"))
    job = store.get(id)
    assert job is not None
    assert (job.state, job.begun) == ("queued", 0)


def test_a_message_names_files_as_the_client_does(house: House) -> None:
    id = house.send("holiday.png").json()["id"]
    job, folders = house.service.job(id), house.service.folders
    text = f"{folders.output(id) / 'input_4x.png'}: no room; {folders.input(id, '')}: damaged"
    names = Watched(names_in(folders, job, folders.input(id, "")))
    assert names.named(text) == "holiday_4x.png: no room; holiday.png: damaged"


def test_errors_of_a_worker_are_the_application_s() -> None:
    assert issubclass(OutputError, UpscaleError)
    assert ending_of("../x.PNG") == ".png"
