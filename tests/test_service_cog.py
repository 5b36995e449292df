"""Cog's verbs: what its own server (0.23.1) answers to the same requests stands beside each.

Recorded from it with a predictor of one input and one output; `id`, times and data are whatever they are.
"""

import base64
import contextlib
import http.client
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.serving import client, environment, pictures, problem, service
from upscale_cli.errors import InputError
from upscale_cli.service import webhooks
from upscale_cli.service.outbound import fetch, is_public, send

__all__ = ["client", "environment", "pictures", "service"]

ASYNC = {"Prefer": "respond-async"}


class Elsewhere:
    """A server that clients name: it has files, and takes webhooks.

    Attributes:
        files: (status, headers, body) by path.
        heard: (path, JSON) of every webhook.
    """

    def __init__(self) -> None:
        self.files: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.heard: list[tuple[str, Any]] = []
        self.changed = threading.Condition()
        there = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = there.files.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with there.changed:
                    there.heard.append((self.path, body))
                    there.changed.notify_all()
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def hooks(self, path: str) -> list[dict[str, Any]]:
        """Those to one path, once the last has come."""

        def of_path() -> list[dict[str, Any]]:
            return [body for heard, body in self.heard if heard == path]

        with self.changed:
            assert self.changed.wait_for(lambda: any("completed_at" in body for body in of_path()), 60)
            return of_path()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    made = Elsewhere()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def image(pictures: Path) -> str:
    """A picture as a data: URL."""
    return "data:image/png;base64," + base64.b64encode((pictures / "a.png").read_bytes()).decode()


def input_of(image: str, **more: Any) -> dict[str, Any]:
    return {"input": {"image": image, "model": "bicubic", "scale": 2, **more}}


def test_a_prediction_is_made_while_the_client_waits(client: TestClient, image: str) -> None:
    # {"id":"pred_18e...","logs":"log line\n","metrics":{"predict_time":0.05},"output":"data:text/plain;base64,...",
    #  "status":"succeeded"}
    answer = client.post("/predictions", json=input_of(image))
    made = answer.json()
    assert (answer.status_code, made["status"]) == (200, "succeeded")
    assert {"id", "logs", "metrics", "output", "status"} <= set(made)
    assert made["metrics"]["predict_time"] > 0
    assert base64.b64decode(made["output"].removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")


def test_a_put_twice_is_one_prediction(client: TestClient, image: str) -> None:
    # 202 {"id":"xyz","status":"starting"}; again:
    # 202 {"id":"xyz","input":{...},"logs":"","metrics":{},"status":"processing"}
    slow = input_of(image, model="espcn", scale=64, net={"tile": 8})
    first = client.put("/predictions/xyz", json=slow, headers=ASYNC)
    assert (first.status_code, first.json()) == (202, {"id": "xyz", "status": "starting"})
    second = client.put("/predictions/xyz", json=slow, headers=ASYNC)
    assert (second.status_code, second.json()["id"]) == (202, "xyz")
    assert second.json()["status"] in ("starting", "processing")
    # 200 {}, and 404 for an unknown one
    cancelled = client.post("/predictions/xyz/cancel")
    assert (cancelled.status_code, cancelled.json()) == (200, {})
    problem(client.post("/predictions/none/cancel"), 404)
    # 422: "prediction ID must match the ID supplied in the URL"
    assert problem(client.put("/predictions/p1", json={"id": "p2", **input_of(image)}), 422)
    made = client.put("/predictions/p1", json=input_of(image))
    assert (made.status_code, made.json()["status"], made.json()["id"]) == (200, "succeeded", "p1")
    assert client.get("/health-check").json()["status"] in ("READY", "BUSY")  # before that, it may be STARTING
    assert client.put("/predictions/p1", json=input_of(image)).json() == made.json()
    assert client.get("/predictions/p1").json() == made.json()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("not json", 422),  # 400 there
        ({"input": {"scale": 3}}, 422),
        ({"input": {"image": "nothing"}}, 422),
        ({"input": {"image": "data:image/png;base64,!!!"}}, 422),
        ({"input": {"image": "data:application/x-msdownload;base64,aGVsbG8="}}, 415),
        ({"input": {"image": "http://10.0.0.1/a.png"}}, 415),
        ({"input": {"image": "data:image/png;base64,aGVsbG8=", "bogus": 1}}, 422),
        ({"input": {"image": "data:image/png;base64,aGVsbG8="}, "webhook": "http://10.0.0.1/"}, 415),
        ({"input": {"image": "data:image/png;base64,aGVsbG8="}, "webhook_events_filter": ["bogus"]}, 422),  # 422 there
    ],
)
def test_what_is_no_prediction_is_refused(client: TestClient, body: Any, status: int) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    problem(client.post("/predictions", content=content, headers={"Content-Type": "application/json"}), status)


def test_webhooks_tell_how_it_goes(client: TestClient, image: str, elsewhere: Elsewhere) -> None:
    # status by status: processing (start), processing (logs, output), succeeded (completed)
    hooked = {**input_of(image), "webhook": f"{elsewhere.url}/all"}
    assert client.put("/predictions/w1", json=hooked, headers=ASYNC).status_code == 202
    told = elsewhere.hooks("/all")
    assert (told[-1]["status"], told[-1]["id"]) == ("succeeded", "w1")
    assert "output" in told[-1]
    only = {**input_of(image), "webhook": f"{elsewhere.url}/last", "webhook_events_filter": ["completed"]}
    assert client.put("/predictions/w2", json=only, headers=ASYNC).status_code == 202
    assert [body["status"] for body in elsewhere.hooks("/last")] == ["succeeded"]
    failing = {"input": {"image": "data:image/png;base64,aGVsbG8="}, "webhook": f"{elsewhere.url}/failed"}
    made = client.post("/predictions", json=failing).json()
    assert (made["status"], "output" in made) == ("failed", False)
    assert elsewhere.hooks("/failed")[-1]["error"] == made["error"]


def test_a_host_that_does_not_answer_holds_up_nobody_but_itself(
    client: TestClient, image: str, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "SEND_SECONDS", 1000.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes connections, and says nothing
        for number in range(webhooks.AT_ONCE + 1):
            hooked = {**input_of(image), "webhook": f"http://127.0.0.1:{mute.getsockname()[1]}/"}
            assert client.put(f"/predictions/mute{number}", json=hooked).json()["status"] == "succeeded"
        hooked = {**input_of(image), "webhook": f"{elsewhere.url}/behind"}
        client.put("/predictions/behind", json=hooked)
        assert elsewhere.hooks("/behind")[-1]["status"] == "succeeded"


def test_a_server_that_drips_its_answer_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        is_over = threading.Event()

        def drip() -> None:
            connection, _ = there.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 ")
                while not is_over.wait(0.02):
                    connection.sendall(b"a")

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises((OSError, http.client.HTTPException)):
            send(f"http://127.0.0.1:{there.getsockname()[1]}/", b"{}", ("127.0.0.1",), seconds=0.2)
        is_over.set()
        thread.join()


# By address


def test_an_input_is_fetched_while_its_job_waits(client: TestClient, elsewhere: Elsewhere, pictures: Path) -> None:
    data = (pictures / "a.png").read_bytes()
    elsewhere.files["/picture"] = 200, {"Content-Type": "image/png"}, data
    elsewhere.files["/moved.png"] = 302, {"Location": "/picture"}, b""
    elsewhere.files["/away.png"] = 302, {"Location": "http://10.0.0.1/a.png"}, b""
    elsewhere.files["/large.png"] = 200, {}, bytes(200_001)
    elsewhere.files["/short.png"] = 200, {"Content-Length": "9999"}, data

    def made(path: str) -> dict[str, Any]:
        return dict(client.post("/predictions", json=input_of(f"{elsewhere.url}{path}")).json())

    assert made("/moved.png")["status"] == "succeeded"
    assert made("/picture")["status"] == "succeeded"
    assert "200,000" in made("/large.png")["error"]
    assert "asks no such host" in made("/away.png")["error"]
    assert "answers 404" in made("/none.png")["error"]
    assert "broke off" in made("/short.png")["error"]


def test_only_public_addresses_are_asked_where_any_is_allowed(tmp_path: Path) -> None:
    for address in (
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "::1",
        "fd00::1",
        "::ffff:10.0.0.1",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
    ):
        assert not is_public(address)
        with pytest.raises(InputError, match="lies in a private network"):
            fetch(
                "http://name.example/a.png",
                tmp_path / "a",
                ("*",),
                most=9,
                resolve=lambda *_, one=address: ["8.8.8.8", one],
            )
    assert is_public("8.8.8.8")
    for url in ("ftp://a/b", "http://a@b/", "http://a b/", "file:///etc/passwd", "http://", "http://name.example:22/a"):
        with pytest.raises(InputError):
            send(url, b"", ("*",), resolve=lambda *_: ["8.8.8.8"])
