"""Downloads against a server that does everything servers do: whole and verified, or not there."""

import dataclasses
import errno
import hashlib
import os
import random
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPMessage
from pathlib import Path
from typing import NoReturn

import pytest

from tests import server as web
from tests.server import Answer, Server
from tests.waiting import PATIENCE, until
from upscale_cli.errors import CheckpointError, FetchError
from upscale_cli.models import download as download_module
from upscale_cli.models import store
from upscale_cli.models.download import Patience
from upscale_cli.models.fetch import fetch
from upscale_cli.models.registry import MODELS, Spec, model_names

CONTENT = random.Random(0).randbytes(300_000)
NAME = "RealESRGAN_x4plus.pth"
HASTY = Patience(
    timeout_seconds=PATIENCE, failures=3, pause_seconds=0.001, longest_pause_seconds=0.01, progress_bytes=50_000
)
SILENCE = 0.8
"""Seconds after which a server that says nothing is given up; one that answers needs much less."""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith("UPSCALE_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def folder() -> Path:
    return store.cache_folder()


def spec_for(server: Server | str, *, size: int | None = len(CONTENT), content: bytes = CONTENT) -> Spec:
    url = server if isinstance(server, str) else f"{server.url}/v0.1.0/{NAME}"
    return dataclasses.replace(MODELS[0], file=NAME, url=url, size=size, sha256=hashlib.sha256(content).hexdigest())


def files_in(folder: Path) -> dict[str, bytes]:
    """What is there, the lock files aside."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith(".lock")}


def ranges(server: Server) -> list[str | None]:
    return [request.headers["Range"] for request in server.requests]


@pytest.mark.parametrize("size", [len(CONTENT), None], ids=["size known", "size unknown"])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(web.whole, id="good server"),
        pytest.param(web.without_length, id="no length"),
        pytest.param(web.chunked(), id="chunked"),
        pytest.param(web.dribbling(piece=20_000, pause_seconds=0.005), id="slow"),
    ],
)
def test_a_file_arrives_whole_under_its_name(folder: Path, answer: Answer, size: int | None) -> None:
    seen: list[tuple[int, int | None]] = []
    with Server(CONTENT, answer) as server:
        path = fetch(spec_for(server, size=size), folder, progress=lambda *bytes_: seen.append(bytes_), patience=HASTY)
        assert len(server.requests) == 1
    assert path == folder / NAME
    assert files_in(folder) == {NAME: CONTENT}
    done = [bytes_done for bytes_done, _ in seen]
    assert done == sorted(done)
    assert done[0] == 0
    assert done[-1] == len(CONTENT)
    assert {total for _, total in seen} <= {size, len(CONTENT)}


def test_the_request_says_who_asks_and_no_more(folder: Path) -> None:
    with Server(CONTENT) as server:
        fetch(spec_for(server), folder, patience=HASTY)
        (request,) = server.requests
    assert request.path == f"/v0.1.0/{NAME}"
    assert request.headers["User-Agent"].startswith("upscale-cli/")
    assert {name.lower() for name in request.headers} == {"host", "user-agent", "accept-encoding", "connection"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "first",
    [
        pytest.param(web.cut(after=100_000), id="cut"),
        pytest.param(web.reset(after=100_000), id="reset"),
        pytest.param(web.stalling(after=100_000), id="stall"),
        pytest.param(web.chunked(broken_after=100_000), id="broken chunk"),
    ],
)
def test_what_breaks_off_goes_on_where_it_broke(folder: Path, first: Answer) -> None:
    patience = dataclasses.replace(HASTY, timeout_seconds=SILENCE)
    reported: list[str] = []
    with Server(CONTENT, first, web.whole) as server:
        fetch(spec_for(server), folder, say=reported.append, patience=patience)
        assert ranges(server) == [None, "bytes=100000-"]
    assert files_in(folder) == {NAME: CONTENT}
    (line,) = reported
    assert NAME in line
    assert "trying again" in line


@pytest.mark.slow
@pytest.mark.parametrize(
    "first",
    [
        pytest.param(web.status(500), id="500"),
        pytest.param(web.status(503, Retry_After="3600"), id="503 for an hour"),
        pytest.param(web.status(429, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT"), id="429 until a date"),
        pytest.param(web.garbage, id="no HTTP"),
        pytest.param(web.reset(after=0), id="reset at once"),
        pytest.param(web.silent, id="silence"),
    ],
)
def test_what_may_pass_is_tried_again(folder: Path, first: Answer) -> None:
    with Server(CONTENT, first, web.whole) as server:
        fetch(spec_for(server), folder, patience=dataclasses.replace(HASTY, timeout_seconds=SILENCE))
        assert len(server.requests) == 2
    assert files_in(folder) == {NAME: CONTENT}


def test_a_connection_that_breaks_often_gets_there_as_long_as_it_brings_something(folder: Path) -> None:
    with Server(CONTENT, web.cut(after=60_000)) as server:
        fetch(spec_for(server), folder, patience=HASTY)
        assert len(server.requests) == 5 > HASTY.failures
    assert files_in(folder) == {NAME: CONTENT}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "requests", "reason"),
    [
        pytest.param(web.status(404), 1, "HTTP 404 Not Found", id="404"),
        pytest.param(web.status(403, b"<html>go away"), 1, "HTTP 403 Forbidden", id="403"),
        pytest.param(web.status(500), 3, "HTTP 500 Internal Server Error, 3 times in a row", id="500"),
        pytest.param(web.web_page, 1, "a web page in place of the file", id="login page"),
        pytest.param(web.silent, 3, "timed out", id="silence"),
        pytest.param(web.garbage, 3, "does not answer", id="no HTTP"),
        pytest.param(web.status(302, Location="file:///etc/passwd"), 1, "HTTP 302", id="redirect to a file"),
        pytest.param(web.status(302, Location="/again"), 5, "HTTP 302", id="redirect in a circle"),
        pytest.param(web.cut(after=10), 3, "the connection ended after 30 of 300,000 bytes", id="ten bytes each time"),
    ],
)
def test_what_cannot_be_had_gives_one_line_that_says_how_to_do_it_by_hand(
    folder: Path, answer: Answer, requests: int, reason: str
) -> None:
    with Server(CONTENT, answer) as server:
        spec = spec_for(server)
        with pytest.raises(FetchError) as error:
            fetch(spec, folder, patience=dataclasses.replace(HASTY, timeout_seconds=SILENCE))
        assert len(server.requests) == requests
    text = str(error.value)
    assert reason in text
    assert "\n" not in text
    assert all(fact in text for fact in (NAME, str(spec.url), spec.sha256, str(folder)))
    assert set(files_in(folder)) <= {f"{NAME}.part"}


def test_a_trickle_counts_as_lost(folder: Path) -> None:
    patience = dataclasses.replace(HASTY, slowest=1e6, slow_seconds=0.05)
    with Server(CONTENT, web.dribbling(piece=10, pause_seconds=0.01)) as server:
        with pytest.raises(FetchError, match="less than 1000000 bytes per second"):
            fetch(spec_for(server), folder, patience=patience)
        assert len(server.requests) == 3
    assert set(files_in(folder)) == {f"{NAME}.part"}


def test_no_server_listens(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(FetchError, match=rf"cannot reach 127\.0\.0\.1:{port} "):
        fetch(spec_for(f"http://127.0.0.1:{port}/{NAME}"), folder, patience=HASTY)


@pytest.mark.parametrize("size", [len(CONTENT), None], ids=["size known", "size unknown"])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(web.status(200, b"x" * 1000), id="shorter file"),
        pytest.param(web.status(200, b"x" * len(CONTENT)), id="same size"),
        pytest.param(web.status(200, b"<html>Not found"), id="web page sent as a file"),
        pytest.param(web.announcing(1000), id="length too small"),
    ],
)
def test_another_file_is_kept_aside_and_not_used(folder: Path, answer: Answer, size: int | None) -> None:
    with Server(CONTENT, answer) as server:
        spec = spec_for(server, size=size)
        with pytest.raises(FetchError, match="whose sha256 is not the pinned one; kept as") as error:
            fetch(spec, folder, patience=HASTY)
    assert set(files_in(folder)) == {f"{NAME}.bad"}
    assert str(folder / f"{NAME}.bad") in str(error.value)
    assert spec.sha256 in str(error.value)


def test_a_length_that_is_too_large_does_no_harm_where_the_size_is_pinned(folder: Path) -> None:
    with Server(CONTENT, web.announcing(10 * len(CONTENT))) as server:
        fetch(spec_for(server), folder, patience=HASTY)
    assert files_in(folder) == {NAME: CONTENT}


def test_what_comes_after_the_pinned_size_is_not_taken(folder: Path) -> None:
    with Server(CONTENT + b"more", web.without_length) as server:
        fetch(spec_for(server), folder, patience=HASTY)
    assert files_in(folder) == {NAME: CONTENT}


def test_a_file_of_unknown_size_has_to_end_some_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "LARGEST", 1 << 20)
    with Server(CONTENT, web.endless) as server, pytest.raises(FetchError, match="does not end after"):
        fetch(spec_for(server, size=None), folder, patience=HASTY)


@pytest.mark.parametrize("size", [len(CONTENT), None], ids=["size known", "size unknown"])
@pytest.mark.parametrize(
    ("part", "answers", "asked"),
    [
        pytest.param(CONTENT[:1000], [web.whole], ["bytes=1000-"], id="goes on"),
        pytest.param(CONTENT[:1000], [web.ignoring_range], ["bytes=1000-"], id="server knows no ranges"),
        pytest.param(b"x" * 1000, [web.whole], ["bytes=1000-", None], id="part of another file"),
        pytest.param(b"", [web.whole], [None], id="empty part"),
    ],
)
def test_a_part_is_gone_on_with(
    folder: Path, part: bytes, answers: list[Answer], asked: list[str | None], size: int | None
) -> None:
    folder.mkdir()
    (folder / f"{NAME}.part").write_bytes(part)
    with Server(CONTENT, *answers) as server:
        fetch(spec_for(server, size=size), folder, patience=HASTY)
        assert ranges(server) == asked
    assert files_in(folder) == {NAME: CONTENT}


@pytest.mark.parametrize("size", [len(CONTENT), None], ids=["size known", "size unknown"])
@pytest.mark.parametrize(
    ("part", "is_right"),
    [
        pytest.param(CONTENT, True, id="whole, but not renamed"),
        pytest.param(b"x" * len(CONTENT), False, id="full of something else"),
        pytest.param(CONTENT + b"x", False, id="too long"),
    ],
)
def test_a_full_part_is_trusted_by_its_sum_only(folder: Path, part: bytes, is_right: bool, size: int | None) -> None:
    folder.mkdir()
    (folder / f"{NAME}.part").write_bytes(part)
    with Server(CONTENT) as server:
        fetch(spec_for(server, size=size), folder, patience=HASTY)
        assert ranges(server) == ([] if size else [f"bytes={len(part)}-"]) + ([] if is_right else [None])
    assert files_in(folder) == {NAME: CONTENT}


def test_another_piece_than_asked_for_is_never_mixed_in(folder: Path) -> None:
    folder.mkdir()
    (folder / f"{NAME}.part").write_bytes(CONTENT[:1000])
    with Server(CONTENT, web.another_piece) as server, pytest.raises(FetchError, match="another piece"):
        fetch(spec_for(server), folder, patience=HASTY)
    assert files_in(folder) == {f"{NAME}.part": CONTENT[:1000]}


def test_ctrl_c_leaves_only_the_part_and_the_next_run_goes_on_with_it(folder: Path) -> None:
    def interrupt(done: int, _total: int | None) -> None:
        if done >= 100_000:
            raise KeyboardInterrupt

    with Server(CONTENT, web.dribbling(piece=50_000, pause_seconds=0.01), web.whole) as server:
        with pytest.raises(KeyboardInterrupt):
            fetch(spec_for(server), folder, progress=interrupt, patience=HASTY)
        assert set(files_in(folder)) == {f"{NAME}.part"}
        there = len(files_in(folder)[f"{NAME}.part"])
        fetch(spec_for(server), folder, patience=HASTY)
        assert ranges(server) == [None, f"bytes={there}-"]
    assert files_in(folder) == {NAME: CONTENT}


def test_redirects_are_followed_with_the_range(folder: Path) -> None:
    folder.mkdir()
    (folder / f"{NAME}.part").write_bytes(CONTENT[:1000])
    with (
        Server(CONTENT) as store,
        Server(b"", web.status(302, Location=f"{store.url}/signed?for=a-while")) as front,
    ):
        fetch(spec_for(front), folder, patience=HASTY)
        assert ranges(store) == ["bytes=1000-"]
    assert files_in(folder) == {NAME: CONTENT}


def test_https_never_leads_back_to_http() -> None:
    request = urllib.request.Request("https://host/file")
    follow = download_module._Redirects().redirect_request
    with pytest.raises(Exception, match="leads on to host without https"):
        follow(request, None, 302, "Found", HTTPMessage(), "http://host/file")
    assert follow(request, None, 302, "Found", HTTPMessage(), "https://other/file") is not None


def test_an_untrusted_certificate_is_not_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def distrust(*_: object, **__: object) -> NoReturn:
        raise urllib.error.URLError(ssl.SSLCertVerificationError("no"))

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", distrust)
    with pytest.raises(FetchError, match="SSL_CERT_FILE"):
        fetch(spec_for(f"https://127.0.0.1/{NAME}"), folder, patience=HASTY)


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_mirror_holds_the_files_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch, slash: str) -> None:
    with Server(CONTENT) as server:
        monkeypatch.setenv("UPSCALE_MIRROR", f"{server.url}/models{slash}")
        fetch(spec_for("https://official.invalid/releases/v1/name.pth"), folder, patience=HASTY)
        assert [request.path for request in server.requests] == [f"/models/{NAME}"]
    assert files_in(folder) == {NAME: CONTENT}


@pytest.mark.parametrize("mirror", ["/srv/models", "ftp://host/models", "host:8080"])
def test_a_mirror_is_a_web_address(folder: Path, monkeypatch: pytest.MonkeyPatch, mirror: str) -> None:
    monkeypatch.setenv("UPSCALE_MIRROR", mirror)
    with pytest.raises(FetchError, match=r"UPSCALE_MIRROR is .* no http or https address"):
        fetch(spec_for("https://official.invalid/name.pth"), folder, patience=HASTY)


def test_proxies_of_the_environment_are_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://official.invalid/{NAME}"
    with Server(CONTENT) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        fetch(spec_for(url), folder, patience=HASTY)
        assert [request.path for request in proxy.requests] == [url]


def no_address(*_: object, **__: object) -> NoReturn:
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


@pytest.mark.parametrize("reason", [None, OSError(errno.ENETUNREACH, "Network is unreachable")], ids=["name", "route"])
def test_without_a_network_it_fails_at_once_and_says_what_is_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch, reason: OSError | None
) -> None:
    def unreachable(*_: object, **__: object) -> NoReturn:
        raise urllib.error.URLError(reason or "")

    if reason is None:
        monkeypatch.setattr(socket, "getaddrinfo", no_address)
    else:
        monkeypatch.setattr(urllib.request.OpenerDirector, "open", unreachable)
    monkeypatch.setattr(
        "upscale_cli.models.download.time.sleep", lambda seconds: pytest.fail(f"it waits for {seconds} s")
    )
    lines: list[str] = []
    with pytest.raises(FetchError) as failed:
        fetch(spec_for("https://example.org/net.pth"), folder, say=lines.append)
    assert not lines
    assert "there is no network" in str(failed.value)
    here = ", ".join(name for name in model_names() if all(spec.bundled for spec in MODELS if spec.model == name))
    assert f"Here are {here}" in str(failed.value)
    assert "https://example.org/net.pth" in str(failed.value)


def test_a_network_that_goes_away_on_the_way_is_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that has resolved, and of whose file something has come, may do so again."""
    real, asked = socket.getaddrinfo, list[object]()

    def once_in_two(*arguments: object, **options: object) -> object:
        asked.append(arguments)
        if len(asked) == 2:
            no_address()
        return real(*arguments, **options)  # type: ignore[arg-type]

    with Server(CONTENT, web.cut(after=100_000), web.whole) as server:
        monkeypatch.setattr(socket, "getaddrinfo", once_in_two)
        fetch(spec_for(server), folder, patience=HASTY)
    assert len(asked) == 3
    assert files_in(folder) == {NAME: CONTENT}


@pytest.mark.parametrize(("value", "is_offline"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_offline_means_no_network_at_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch, value: str, is_offline: bool
) -> None:
    monkeypatch.setenv("UPSCALE_OFFLINE", value)
    with Server(CONTENT) as server:
        spec = spec_for(server)
        if is_offline:
            with pytest.raises(FetchError, match="UPSCALE_OFFLINE") as error:
                fetch(spec, folder, patience=HASTY)
            assert all(fact in str(error.value) for fact in (NAME, str(spec.url), spec.sha256, str(folder)))
        else:
            fetch(spec, folder, patience=HASTY)
        assert bool(server.requests) is not is_offline


def test_a_bundled_file_has_no_address(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="Install upscale-cli again"):
        fetch(dataclasses.replace(MODELS[0], url=None), folder)


def test_a_disk_without_room_is_found_out_before(folder: Path, free_disk: Callable[[int], None]) -> None:
    free_disk(1000)
    with (
        Server(CONTENT) as server,
        pytest.raises(FetchError, match=r"needs 300,000 bytes, and the disk of .* has 1,000"),
    ):
        fetch(spec_for(server), folder, patience=HASTY)
    assert not files_in(folder)


def test_a_disk_that_fills_up_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with Server(CONTENT) as server, pytest.raises(FetchError, match="No space left on device"):
        fetch(spec_for(server), folder, patience=HASTY)
    assert set(files_in(folder)) == {f"{NAME}.part"}


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with Server(CONTENT) as server, pytest.raises(FetchError, match="cannot be written to"):
        fetch(spec_for(server), tmp_path / "file" / "folder", patience=HASTY)


def test_a_wrong_file_under_the_final_name_is_replaced(folder: Path) -> None:
    folder.mkdir()
    (folder / NAME).write_bytes(b"wrong")
    with Server(CONTENT) as server:
        fetch(spec_for(server), folder, patience=HASTY)
    assert files_in(folder) == {NAME: CONTENT}


def test_of_two_threads_one_downloads_and_the_other_waits(folder: Path) -> None:
    reported: list[str] = []

    def slow(handler: web.Handler) -> None:
        """Until the other has come."""
        body = handler.begin_content()
        handler.wfile.write(body[:30_000])
        until(lambda: reported)
        handler.wfile.write(body[30_000:])

    with Server(CONTENT, slow) as server:
        spec = spec_for(server)
        threads = [
            threading.Thread(target=fetch, args=(spec, folder), kwargs={"say": reported.append, "patience": HASTY})
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.requests) == 1
    assert reported == [f"{NAME}: another process is downloading it; waiting for that"]
    assert files_in(folder) == {NAME: CONTENT}


@pytest.mark.slow
def test_of_two_processes_one_downloads_and_the_other_finds_the_file(folder: Path) -> None:
    with Server(CONTENT, web.dribbling(piece=30_000, pause_seconds=0.05)) as server:
        program = textwrap.dedent(f"""
            import dataclasses, pathlib
            from upscale_cli.models.fetch import fetch
            from upscale_cli.models.registry import MODELS
            spec = dataclasses.replace(
                MODELS[0], file={NAME!r}, url={server.url!r}, size={len(CONTENT)}, sha256={spec_for(server).sha256!r}
            )
            print(fetch(spec, pathlib.Path({str(folder)!r})))
        """)
        processes = [
            subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)
        ]
        outputs = [process.communicate(timeout=PATIENCE)[0].strip() for process in processes]
        assert len(server.requests) == 1
    assert outputs == [str(folder / NAME)] * 2
    assert files_in(folder) == {NAME: CONTENT}
