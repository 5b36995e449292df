"""Objects in stores, against a real S3 server: whole or not there, whatever happens on the way."""

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from PIL import Image

from tests.albums import paint
from tests.clips import Clips
from tests.command import Run

pytest.importorskip("s3fs")
pytest.importorskip("moto.moto_server.werkzeug_app")

from tests.stores import Bucket, How, Store
from upscale_cli.errors import InputError, OptionError, OutputError
from upscale_cli.events import Event, Finished, ignore
from upscale_cli.files import object_access, object_listing, object_names, object_store
from upscale_cli.inference.sizing import Target
from upscale_cli.jobs.inputs import Input
from upscale_cli.jobs.naming import Naming
from upscale_cli.jobs.object_job import SCRATCH, ObjectJob, prepare_object
from upscale_cli.jobs.outputs import Outputs

if TYPE_CHECKING:
    from upscale_cli.inference.upscaler import Upscaler

FAST = ("-m", "bicubic", "-s", 2)
REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(os.urandom(100_000))
    return path


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes of a part: the least that S3 allows; twice as many go in several."""
    monkeypatch.setattr(object_store, "PART_BYTES", 5 * 2**20)
    return object_store.PART_BYTES


def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(12 * 2**20))
    return path


def scratch_left() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"))


# One object


NAMES = [
    "a b.png",
    "quote'\".png",
    "ü/日本語.png",
    "q?x#y%41&=+.png",
    "[x]*.png",
    "{brace}.png",
    "~!@$^().png",
]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_put_comes_back_under_any_name(bucket: Bucket, file: Path, tmp_path: Path, name: str) -> None:
    url = f"{bucket.url}/in/{name}"
    made = object_store.put(file, url, overwrite=False)
    assert bucket.get(f"in/{name}") == file.read_bytes()
    listing = object_listing.listed(f"{bucket.url}/in/").objects
    assert dict(listing) == {url: made}
    assert (
        object_listing.stamp(url) == made == object_listing.stamp(url)
    )  # first as it was seen when it was put, then looked up
    object_store.fetch(url, tmp_path / "back", made)
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    object_store.remove(url)
    assert object_listing.stamp(url) is None


def test_large_ones_go_in_parts_and_come_in_parts(
    store: Store, bucket: Bucket, tmp_path: Path, small_parts: int
) -> None:
    path = large(tmp_path)
    made = object_store.put(path, f"{bucket.url}/large", overwrite=False)
    assert store.requests["PUT"] == -(-path.stat().st_size // small_parts)
    assert bucket.uploads() == []
    object_store.fetch(f"{bucket.url}/large", tmp_path / "back", made)
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


def test_a_listing_tells_what_lies_where(bucket: Bucket) -> None:
    for key in ("a.png", "sub/b.png", "sub/deep/c.png", "sub/", "subway.png"):
        bucket.put(key, b"x")
    assert set(object_listing.listed(bucket.url).objects) == {
        f"{bucket.url}/{key}" for key in ("a.png", "sub/b.png", "sub/deep/c.png", "subway.png")
    }
    assert set(object_listing.listed(f"{bucket.url}/sub").objects) == {
        f"{bucket.url}/sub/{k}" for k in ("b.png", "deep/c.png")
    }
    flat = object_listing.listed(bucket.url, deep=False)
    assert set(flat.objects) == {f"{bucket.url}/{key}" for key in ("a.png", "subway.png")}
    assert flat.prefixes == [f"{bucket.url}/sub/"]
    assert not object_listing.listed(f"{bucket.url}/none/").objects


def test_other_bytes_of_the_same_size_have_another_stamp(bucket: Bucket) -> None:
    url = bucket.put("a", b"one")
    before = object_listing.stamp(url)
    bucket.put("a", b"two")
    after = object_listing.stamp(url)
    assert before is not None
    assert after is not None
    assert (before.size, before != after) == (after.size, True)


# What passes


@pytest.mark.parametrize("how", ["503", "reset"])
def test_a_put_that_fails_twice_is_tried_again(store: Store, bucket: Bucket, file: Path, how: How) -> None:
    fault = store.fail("PUT", "/a", times=2, how=how)
    object_store.put(file, f"{bucket.url}/a", overwrite=False)
    assert fault.times == 0
    assert bucket.get("a") == file.read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("how", ["503", "reset"])
def test_a_part_that_fails_is_put_again(store: Store, bucket: Bucket, tmp_path: Path, how: How) -> None:
    path = large(tmp_path)
    fault = store.fail("PUT", "partNumber=2", times=1, how=how)
    object_store.put(path, f"{bucket.url}/a", overwrite=False)
    assert fault.times == 0
    assert bucket.get("a") == path.read_bytes()
    assert bucket.uploads() == []


@pytest.mark.parametrize("how", ["503", "reset", "cut"])
def test_a_get_that_breaks_off_is_tried_again(
    store: Store, bucket: Bucket, file: Path, tmp_path: Path, how: How
) -> None:
    url = bucket.put("a", file)
    fault = store.fail("GET", "/a", times=2, how=how)
    object_store.fetch(url, tmp_path / "back")
    assert fault.times == 0
    assert (tmp_path / "back").read_bytes() == file.read_bytes()


def test_a_put_whose_answer_is_lost_is_known_as_done(store: Store, bucket: Bucket, file: Path) -> None:
    fault = store.fail("PUT", "/a", times=1, how="lost")
    object_store.put(file, f"{bucket.url}/a", overwrite=False)
    assert fault.times == 0
    assert bucket.get("a") == file.read_bytes()


def test_a_store_that_knows_no_conditions(store: Store, bucket: Bucket, file: Path) -> None:
    fault = store.fail("PUT", "/a", times=1, how="501")
    object_store.put(file, f"{bucket.url}/a", overwrite=False)
    assert fault.times == 0
    assert bucket.get("a") == file.read_bytes()


@pytest.mark.usefixtures("small_parts")
def test_an_object_that_changes_while_it_is_fetched_is_fetched_anew(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts: none may be of another version."""
    url = bucket.put("a", large(tmp_path))
    listed, other = object_listing.stamp(url), os.urandom(12 * 2**20)
    looked_up = object_listing.looked_up

    def look(*arguments: object) -> object:
        bucket.put("a", other)
        monkeypatch.setattr(object_store, "looked_up", looked_up)
        return looked_up(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(object_store, "looked_up", look)
    object_store.fetch(url, tmp_path / "back", listed)
    assert (tmp_path / "back").read_bytes() == other


# What does not


@pytest.mark.slow
@pytest.mark.parametrize("how", ["503", "reset"])
def test_a_put_that_fails_for_good_leaves_nothing(store: Store, bucket: Bucket, file: Path, how: How) -> None:
    store.fail("PUT", "/a", how=how)
    with pytest.raises(OutputError, match=r"does not answer as it should .*3 tries.* Try again later"):
        object_store.put(file, f"{bucket.url}/a", overwrite=False)
    assert bucket.keys() == set()


@pytest.mark.usefixtures("small_parts")
def test_parts_that_fail_for_good_leave_nothing(store: Store, bucket: Bucket, tmp_path: Path) -> None:
    store.fail("PUT", "partNumber=2")
    with pytest.raises(OutputError, match="Try again later"):
        object_store.put(large(tmp_path), f"{bucket.url}/a", overwrite=False)
    assert (bucket.keys(), bucket.uploads()) == (set(), [])


def test_what_is_there_is_kept(bucket: Bucket, file: Path) -> None:
    url = bucket.put("a", b"somebody's")
    with pytest.raises(OutputError, match=r"is kept\. .*overwrite=True"):
        object_store.put(file, url, overwrite=False)
    assert bucket.get("a") == b"somebody's"
    object_store.put(file, url, overwrite=True)
    assert bucket.get("a") == file.read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
@pytest.mark.usefixtures("small_parts")
def test_ctrl_c_aborts_an_upload(store: Store, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, slow = large(tmp_path), store.fail("PUT", "partNumber=3", how="slow")

    class Told(object_access.stoppable().__class__):  # type: ignore[misc]
        """Lets the part go on once the upload is told to stop: before, it could be done in time, and stay."""

        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if (name, value) == ("is_wanted", True):
                slow.may_go_on.set()

    def press() -> None:
        slow.is_waiting.wait()
        os.kill(os.getpid(), signal.SIGINT)
        slow.may_go_on.wait(60)
        slow.may_go_on.set()  # nobody told it: what is left then fails the test

    monkeypatch.setattr(object_store, "stoppable", Told)
    presser = threading.Thread(target=press, daemon=True)
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever other tests left
    try:
        presser.start()
        with pytest.raises(KeyboardInterrupt):
            object_store.put(path, f"{bucket.url}/a", overwrite=False)
    finally:
        signal.signal(signal.SIGINT, usual)
    presser.join()
    assert (bucket.keys(), bucket.uploads()) == (set(), [])


HOPELESS: dict[str, tuple[str, dict[str, str | None]]] = {
    "no bucket": (r"there is no such bucket\. Check its name", {}),
    "403": (r"the store denies access .*Check the credentials", {}),
    "no credentials": (
        r"no credentials for the store are found .*Set them up",
        {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
    ),
    "no such profile": (r"no credentials for the store are found .*Set them up", {"AWS_PROFILE": "nobody"}),
}


@pytest.mark.parametrize("what", HOPELESS)
def test_what_will_not_pass_is_told_at_once(
    store: Store, bucket: Bucket, file: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    pattern, environment = HOPELESS[what]
    for name, value in environment.items():
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    if environment:
        object_access.connected.cache_clear()
    if what == "403":
        store.fail("GET", how="403")
        store.fail("HEAD", how="403")
        store.fail("PUT", how="403")
    url = "s3://nobody-has-this-bucket/a" if what == "no bucket" else f"{bucket.url}/a"
    actions: list[tuple[type[Exception], Callable[[], object]]] = [
        (OutputError, lambda: object_store.put(file, url, overwrite=False)),
        (InputError, lambda: object_store.fetch(url, file.with_name("back"))),
        (InputError, lambda: object_listing.listed(object_names.parent(url))),
    ]
    for kind, act in actions:
        store.requests.clear()
        with pytest.raises(kind, match=pattern) as caught:
            act()
        assert str(caught.value).startswith(url.removesuffix("a"))
        assert "\n" not in str(caught.value)
        assert sum(store.requests.values()) <= 2
    object_access.connected.cache_clear()


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_an_extra_that_is_not_installed_is_named(run: Run, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ImportError("no such module")

    monkeypatch.setattr("fsspec.filesystem", missing)
    object_access.connected.cache_clear()
    outcome = run(f"{scheme}://bucket/a.png", *FAST)
    assert f'which is not installed: pip install "upscale-cli[{scheme}]"' in outcome.line


def test_no_secret_is_told(
    run: Run, store: Store, bucket: Bucket, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = bucket.put("a.png", paint(tmp_path / "a.png"))
    store.fail("PUT", how="403")
    outcome = run(url, "-o", f"{bucket.url}/out.png", *FAST, "-v")
    assert "denies access" in outcome.line
    given = run("s3://the-key:the-secret@bucket/a.png", "-o", tmp_path / "out.png", *FAST, "-v")
    assert "credentials have no place in a URL" in given.line
    for text in (outcome.out, outcome.err, caplog.text, given.out):
        assert not re.search("the-key|the-secret", text)


# The command line


def album(tmp_path: Path) -> Path:
    """Photos of three formats with odd names, nested, and what is none."""
    folder = tmp_path / "album"
    for number, name in enumerate(["a.png", "b c.jpg", "sub/ü'.png", "sub/deep/q?#%41.webp", ".hid.png", ".d/x.png"]):
        paint(folder / (name.replace("?", "-") if os.name == "nt" else name), number)
    (folder / "note.txt").write_text("x")
    return folder


def outputs_of(folder: Path) -> set[str]:
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {str(Path(name).with_suffix("")) + f"_2x{Path(name).suffix}" for name in there
            if not name.startswith(".") and not name.endswith(".txt")}  # fmt: skip


def test_a_prefix_to_a_prefix(run: Run, bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.put_all(album(tmp_path), "in/")
    outcome = run(url, "-o", f"{bucket.url}/out", "-r", *FAST)
    assert outcome.code == 0, outcome.err
    assert bucket.keys("out/") == outputs_of(tmp_path / "album")
    assert "ignored: 1 hidden, 1 neither photo nor clip" in outcome.err
    assert scratch_left() == []
    assert "4 skipped" in run(url, "-o", f"{bucket.url}/out", "-r", *FAST).err
    direct = tmp_path / "direct"
    assert run(tmp_path / "album", "-o", direct, "-r", *FAST).code == 0
    for name in bucket.keys("out/"):
        assert bucket.get(f"out/{name}") == (direct / name).read_bytes()


def test_a_prefix_to_a_folder_and_a_folder_to_a_prefix(run: Run, bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.put_all(album(tmp_path), "in/")
    for source, output in ((url.rstrip("/"), tmp_path / "out"), (tmp_path / "album", f"{bucket.url}/out/")):
        outcome = run(source, "-o", output, "-r", *FAST)
        assert outcome.code == 0, outcome.err
        assert "4 skipped" in run(source, "-o", output, "-r", *FAST).err
    assert bucket.keys("out/") == outputs_of(tmp_path / "album")
    assert {name for name in outputs_of(tmp_path / "album") if not (tmp_path / "out" / name).is_file()} == set()


def test_any_store_that_fsspec_knows(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what stores have in common; this one lies in memory."""
    monkeypatch.setitem(object_names.SCHEMES, "memory", "nothing")
    top, folder = f"memory://{tmp_path.name}", album(tmp_path)
    for path in (path for path in folder.rglob("*") if path.is_file()):
        object_store.put(path, f"{top}/in/{path.relative_to(folder).as_posix()}", overwrite=False)
    alone = (*FAST, "-j", 1)  # that store is a plain dict, and walks over it while others write
    for source, output in ((folder, f"{top}/a/"), (f"{top}/in", f"{top}/b"), (f"{top}/in/", tmp_path / "c")):
        outcome = run(source, "-o", output, "-r", *alone)
        assert outcome.code == 0, outcome.err
        assert "4 skipped" in run(source, "-o", output, "-r", *FAST).err
    for name in outputs_of(folder):
        made = (tmp_path / "c" / name).read_bytes()
        assert object_store.read(f"{top}/a/{name}") == object_store.read(f"{top}/b/{name}") == made
    with pytest.raises(OutputError, match="is kept"):
        object_store.put(folder / "a.png", f"{top}/a/a_2x.png", overwrite=False)
    assert "exists already" in run(folder / "a.png", "-o", f"{top}/a/a_2x.png", *FAST).line


def test_single_objects(run: Run, bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.put("in/a.png", paint(tmp_path / "a.png"))
    for output in (("-o", f"{bucket.url}/x.jpg"), ("-o", f"{bucket.url}/dir/"), ("-o", tmp_path / "x.jpg"), ()):
        outcome = run(url, *output, *FAST)
        assert outcome.code == 0, outcome.err
    assert bucket.keys() == {"in/a.png", "x.jpg", "dir/a_2x.png", "in/a_2x.png"}
    assert bucket.get("x.jpg") == (tmp_path / "x.jpg").read_bytes()
    assert run(tmp_path / "a.png", "-o", f"{bucket.url}/y.png", *FAST).code == 0
    assert "exists already" in run(url, "-o", f"{bucket.url}/x.jpg", *FAST).line
    assert run(url, "-o", f"{bucket.url}/x.jpg", *FAST, "--overwrite").code == 0
    assert "inputs are never overwritten" in run(url, "-o", url, *FAST, "--overwrite").line
    assert "there is no such object" in run(f"{bucket.url}/none.png", "-o", tmp_path / "n.png", *FAST).line


def test_lists_with_urls(run: Run, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paint(tmp_path / "here.png")
    for key in ("x/a.png", "y/a.png", "z/b.png", "z/c.png", "w/d.png"):
        bucket.put(key, paint(tmp_path / "t" / key))
    lines = ["here.png", *(f"{bucket.url}/{key}" for key in ("x/a.png", "y/a.png", "z/", "w/none.png"))]
    text = "\n".join(lines).encode()
    Path("list.txt").write_bytes(text)
    outcome = run("list.txt", "-o", "out", *FAST)
    assert "there is no such object" in outcome.line
    wanted = {"here_2x.png", "x/a_2x.png", "y/a_2x.png", "z/b_2x.png", "z/c_2x.png"}
    assert {name for name in wanted if not (tmp_path / "out" / name).is_file()} == set()
    outcome = run(bucket.put("list.txt", text), "-o", f"{bucket.url}/out", *FAST)
    assert bucket.keys("out/") == wanted


def test_include_exclude_and_what_lies_deeper(run: Run, bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.put_all(album(tmp_path), "in/")
    outcome = run(url, "-o", f"{bucket.url}/flat", *FAST)
    assert bucket.keys("flat/") == {"a_2x.png", "b c_2x.jpg"}
    assert "1 a folder, without -r" in outcome.err
    run(url, "-o", f"{bucket.url}/some", "-r", *FAST, "--include", "*.png", "--exclude", "sub/")
    assert bucket.keys("some/") == {"a_2x.png"}


@pytest.mark.slow
def test_outputs_are_no_sources(run: Run, bucket: Bucket, tmp_path: Path) -> None:
    """Inside the prefix of the inputs, next to them, and where another run has put them."""
    url = bucket.put_all(album(tmp_path), "in/")
    for output in (f"{url}large/", f"{url}large/", f"{bucket.url}/elsewhere/"):
        assert run(url, "-o", output, "-r", *FAST).code == 0
    assert bucket.keys("in/large/") == bucket.keys("elsewhere/") == outputs_of(tmp_path / "album")
    one = bucket.put("beside/a.png", paint(tmp_path / "a.png")).removesuffix("a.png")
    for size in (FAST, FAST, ("-m", "bicubic", "--long-side", 30)):
        assert run(one, *size).code == 0
    assert bucket.keys("beside/") == {"a.png", "a_2x.png", "a_30px.png"}


def test_collisions_are_refused(run: Run, bucket: Bucket, tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "b.png"):
        bucket.put(f"in/{name}", paint(tmp_path / name))
    outcome = run(f"{bucket.url}/in/", "-o", f"{bucket.url}/out/", *FAST, "-f", "webp")
    assert "its output" in outcome.line
    assert bucket.keys("out/") == {"a_2x.webp", "b_2x.webp"}


@pytest.mark.slow
def test_what_is_not_ours_is_kept_and_what_has_changed_is_done_again(run: Run, bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.put_all(album(tmp_path), "in/")
    bucket.put("out/a_2x.png", b"somebody's")
    again = url, "-o", f"{bucket.url}/out/", "-r", *FAST
    assert "exists already" in run(*again).line
    assert bucket.get("out/a_2x.png") == b"somebody's"
    bucket.delete("out/a_2x.png")
    assert "1 done, 3 skipped" in run(*again).err
    before = bucket.get("out/a_2x.png")
    bucket.put("in/a.png", paint(tmp_path / "new.png", number=99))
    assert "1 done, 3 skipped" in run(*again).err
    assert bucket.get("out/a_2x.png") != before
    bucket.put("out/a_2x.png", b"edited")
    assert "exists already" in run(*again).line
    assert run(*again, "--overwrite").code == 0


def test_where_nothing_can_be_put_nothing_is_computed(run: Run, store: Store, bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.put_all(album(tmp_path), "in/")
    store.reset()
    store.fail("PUT", how="403")
    outcome = run(url, "-o", f"{bucket.url}/out/", "-r", *FAST)
    assert (outcome.code, "denies access" in outcome.line) == (1, True)
    assert (store.requests["PUT"], store.requests["GET"]) == (1, 0)


def test_a_dry_run_puts_nothing(run: Run, bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.put_all(album(tmp_path), "in/")
    before = bucket.tags()
    outcome = run(url, "-o", f"{bucket.url}/out/", "-r", *FAST, "--dry-run")
    assert outcome.code == 0
    assert "out/sub/ü'_2x.png" in outcome.out.replace("\n", "")
    assert bucket.tags() == before


def test_bad_objects_have_a_reason_that_names_them(run: Run, bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("in/bad.png", paint(tmp_path / "a.png").read_bytes()[:60])
    bucket.put("in/none.jpg", b"")
    bucket.put("in/good.png", paint(tmp_path / "a.png"))
    outcome = run(f"{bucket.url}/in", "-o", f"{bucket.url}/out/", *FAST, "--json")
    assert outcome.code == 1
    last = json.loads(outcome.out.splitlines()[-1])
    messages = {failure["source"]: failure["message"] for failure in last["failures"]}
    assert set(messages) == {f"{bucket.url}/in/{name}" for name in ("bad.png", "none.jpg")}
    for source, message in messages.items():
        assert message.startswith(f"{source}: ")
        assert SCRATCH not in message
    assert bucket.keys("out/") == {"good_2x.png"}
    assert scratch_left() == []


def test_the_ending_is_believed(run: Run, bucket: Bucket, tmp_path: Path) -> None:
    """The name of an output does not depend on what is in an object."""
    bucket.put("in/a.jpg", paint(tmp_path / "a.png"))
    bucket.put("in/b", paint(tmp_path / "b.png"))
    assert run(f"{bucket.url}/in/a.jpg", *FAST).code == 0
    assert bucket.get("in/a_2x.jpg")[:2] == b"\xff\xd8"
    assert "names no picture format" in run(f"{bucket.url}/in/b", *FAST).err
    assert run(f"{bucket.url}/in/b", "-o", tmp_path / "out", *FAST, "-f", "png").code == 0
    assert (tmp_path / "out/b_2x.png").is_file()
    odd = bucket.put(f"in/c.{'long ' * 60}", paint(tmp_path / "c.png"))
    assert run(odd, "-o", f"{tmp_path}/c_2x.png", *FAST, "-f", "png").code == 0


@pytest.mark.parametrize("key", ["in/../../evil.png", "../evil.png", "in/..", "in/nul\0.png"])
@pytest.mark.parametrize("output", ["out/", "out/{folder}/{name}", "{name}"])
def test_names_that_lead_out_of_the_folder_are_refused(key: str, output: str) -> None:
    given = Input(f"s3://bucket/{key}", root="s3://bucket/")
    with pytest.raises(OutputError, match="Rename the object"):
        Naming(output, None, Target(2)).place_unseen(given, ".png", Target(2), "bicubic")
    place = Naming("s3://other/", None, None).place_unseen(given, ".png", Target(2), "bicubic")
    assert str(place).startswith("s3://other/")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("-o", "OUT/{width}/"), r"names \{width\}, which is not known before an object is read"),
        (("-o", "OUT/{stem}_{scale}{ext}", "--long-side", 9), r"names \{scale\}, which is not known"),
        (("-o", "-"), "standard input or output"),
        (("-o", "OUT/a.png", "--resume"), "--resume does not go with"),
        (("-o", "OUT/a.png", "--compare"), "--compare does not go with"),
        (("--play",), "--play does not go with"),
        (("-o", "OUT/a.png", "--live"), "--live"),
        (("-o", "OUT/", "--watch"), "--watch: stores do not report what comes"),
        (("-o", "OUT/a.png", "-r"), "-r is for folders"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(
    run: Run, store: Store, bucket: Bucket, given: tuple[str, ...], message: str
) -> None:
    arguments = [str(one).replace("OUT", f"{bucket.url}/out") for one in given]
    size = () if "--long-side" in arguments else FAST
    outcome = run(f"{bucket.url}/a.png", *arguments, *size)
    assert outcome.code == 2, outcome.err
    assert re.search(message, outcome.line)
    assert not store.requests


def test_a_folder_without_room_for_an_object(
    run: Run, bucket: Bucket, tmp_path: Path, free_disk: Callable[[int], None]
) -> None:
    bucket.put("in/a.png", paint(tmp_path / "a.png"))
    free_disk(10)
    outcome = run(f"{bucket.url}/in/", "-o", tmp_path / "out", *FAST)
    assert re.search(r"(bytes|kB) are needed for it .*are free\. Free space, or set TMPDIR", outcome.line)


def test_clips_come_and_go_as_a_whole(run: Run, bucket: Bucket, tmp_path: Path, clips: Clips) -> None:
    bucket.put("in/film.mp4", clips("plain"))
    bucket.put("in/a.png", paint(tmp_path / "a.png"))
    outcome = run(f"{bucket.url}/in/", "-o", f"{bucket.url}/out/", *FAST, "--frames", 3, "--json")
    assert outcome.code == 0, outcome.err
    assert bucket.keys("out/") == {"film_2x.mp4", "a_2x.png"}
    (tmp_path / "film.mp4").write_bytes(bucket.get("out/film_2x.mp4"))
    with av.open(str(tmp_path / "film.mp4")) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == 3
    reported = [json.loads(line) for line in outcome.out.splitlines()]
    (finished,) = [event for event in reported if event["event"] == "clip_finished"]
    assert (finished["source"], finished["output"]) == (f"{bucket.url}/in/film.mp4", f"{bucket.url}/out/film_2x.mp4")
    assert SCRATCH not in outcome.out + outcome.err


def test_python_is_told_that_it_takes_files(tmp_path: Path) -> None:
    from upscale_cli import upscale_file, upscale_video

    for act in (upscale_file, upscale_video):
        with pytest.raises(InputError, match="is no file"):
            act("s3://bucket/a.mkv", tmp_path / "out.mkv", model="bicubic")
    with pytest.raises(OptionError, match="is no file"):
        upscale_file(paint(tmp_path / "a.png"), "s3://bucket/a.png", model="bicubic")


# A job, wherever it is done


def test_a_job_is_done_by_a_worker(bucket: Bucket, tmp_path: Path, upscaler: "Upscaler") -> None:
    from upscale_cli.executors.ray.shared_files import Probes
    from upscale_cli.executors.ray.worker import Outcome, Worker, request_for

    url = bucket.put("a.png", paint(tmp_path / "a.png"))
    for output in (f"{bucket.url}/b.png", str(tmp_path / "b.png")):
        job, probes = object_job(url, output, upscaler), Probes()
        request = pickle.loads(pickle.dumps(request_for(job, upscaler, probes.probes_for(job))))
        *_, outcome = Worker("cpu", 1).do(request)
        assert isinstance(outcome, Outcome)
        assert (outcome.value, outcome.error, outcome.put is None) == ("", None, isinstance(job.output, Path))
        probes.close()
    assert bucket.get("b.png") == (tmp_path / "b.png").read_bytes()


@pytest.fixture
def upscaler() -> "Upscaler":
    from upscale_cli.inference.upscaler import Upscaler

    return Upscaler("bicubic", device="cpu")


def object_job(source: str, output: str, upscaler: "Upscaler", *, overwrite: bool = False) -> ObjectJob:
    from upscale_cli.jobs.job import PhotoOptions

    given = Input(source)
    outputs = Outputs([given], overwrite=overwrite)
    return prepare_object(given, upscaler, Naming(output, None, Target(2)), outputs, PhotoOptions(overwrite=overwrite))


def test_a_job_travels_to_another_process(bucket: Bucket, tmp_path: Path, upscaler: "Upscaler") -> None:
    url = bucket.put("a.png", paint(tmp_path / "a.png"))
    job = object_job(url, f"{bucket.url}/b.png", upscaler)
    there = pickle.loads(pickle.dumps(job))
    assert there == job
    assert there.run(upscaler, ignore) == ""
    assert bucket.keys() == {"a.png", "b.png"}


def test_what_a_worker_has_put_need_not_be_asked_for_again(
    bucket: Bucket, tmp_path: Path, upscaler: "Upscaler", monkeypatch: pytest.MonkeyPatch
) -> None:
    from upscale_cli.executors.ray.worker import Outcome, Worker, request_for

    url = bucket.put("a.png", paint(tmp_path / "a.png"))
    *_, outcome = Worker("cpu", 1).do(request_for(object_job(url, f"{bucket.url}/b.png", upscaler), upscaler))
    assert isinstance(outcome, Outcome)
    assert outcome.error is None
    assert outcome.put is not None
    assert outcome.put == (f"{bucket.url}/b.png", object_listing.stamp(f"{bucket.url}/b.png"))
    monkeypatch.setattr(object_listing, "looked_up", lambda *_: pytest.fail("the store was asked"))
    object_listing.seen(*outcome.put)  # as the driver does
    assert object_listing.stamp(f"{bucket.url}/b.png") == outcome.put[1]


def test_an_output_is_told_when_it_is_there(bucket: Bucket, tmp_path: Path, upscaler: "Upscaler") -> None:
    url = bucket.put("a.png", paint(tmp_path / "a.png"))
    seen: list[set[str]] = []

    def listen(event: Event) -> None:
        if isinstance(event, Finished):
            seen.append(bucket.keys())

    object_job(url, f"{bucket.url}/b.png", upscaler).run(upscaler, listen)
    assert seen == [{"a.png", "b.png"}]


def test_an_output_that_appears_meanwhile_is_kept(bucket: Bucket, tmp_path: Path, upscaler: "Upscaler") -> None:
    url = bucket.put("a.png", paint(tmp_path / "a.png"))
    job = object_job(url, f"{bucket.url}/b.png", upscaler)
    bucket.put("b.png", b"somebody's")
    with pytest.raises(OutputError, match="is kept"):
        job.run(upscaler, ignore)
    assert bucket.get("b.png") == b"somebody's"
    assert scratch_left() == []


@pytest.mark.usefixtures("store")
def test_what_a_killed_run_left_in_scratch_goes_with_the_next() -> None:
    from upscale_cli.jobs.object_job import _remove_abandoned_scratch, scratch

    dead = Path(tempfile.gettempdir()) / f"{SCRATCH}dead"
    dead.mkdir()
    (dead / ".upscale-lock.part").touch()
    os.utime(dead / ".upscale-lock.part", (time.time() - 900,) * 2)
    _remove_abandoned_scratch.cache_clear()
    with scratch() as living:
        for path in living.glob(".upscale-*"):
            os.utime(path, (time.time() - 900,) * 2)
        _remove_abandoned_scratch.cache_clear()
        with scratch():
            assert scratch_left() != []
            assert (living.is_dir(), dead.is_dir()) == (True, False)


# Kills, and what readers see meanwhile


KILLED = """
import os, signal, sys, threading
from upscale_cli import cli
from upscale_cli.files import object_access, object_listing, object_names, object_store
from upscale_cli.jobs import object_job

moment, number, count, lock = sys.argv.pop(1), int(sys.argv.pop(1)), 0, threading.Lock()
def put(*arguments, **options):
    global count
    with lock:
        if moment == "before" and count == number:
            os.kill(os.getpid(), signal.SIGKILL)  # fetched and computed
        made = object_store.put(*arguments, **options)
        count += 1
        if moment == "after" and count == number:
            os.kill(os.getpid(), signal.SIGKILL)  # the output is there, and no line says so
    return made
object_job.put = put
cli.main()
"""
"""The command line, killed with -9 before or after so many outputs were put."""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kill -9 is of POSIX")
def test_kills_on_the_way(run: Run, bucket: Bucket, tmp_path: Path) -> None:
    """Killed twice, then finished: every output once, and the same as of a run that nothing disturbed."""
    for number in range(12):
        bucket.put(f"in/{'sub/' if number % 3 else ''}p{number}.png", paint(tmp_path / "p.png", number))
    command = [f"{bucket.url}/in/", "-r", *map(str, FAST)]
    assert run(*command, "-o", f"{bucket.url}/whole/").code == 0
    for moment, number, left in (("before", 3, 3), ("after", 4, 7)):
        killed = [sys.executable, "-c", KILLED, moment, str(number), *command, "-o", f"{bucket.url}/out/"]
        done = subprocess.run(killed, cwd=REPOSITORY, capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert len(bucket.keys("out/")) == left
    outcome = run(*command, "-o", f"{bucket.url}/out/")
    assert outcome.code == 0, outcome.err
    assert "5 done, 7 skipped" in outcome.err
    assert bucket.tags("out/") == bucket.tags("whole/")
    assert len(bucket.keys("out/")) == 12
    assert "12 skipped" in run(*command, "-o", f"{bucket.url}/out/").err


@pytest.mark.slow
def test_a_part_is_never_visible(run: Run, store: Store, bucket: Bucket, tmp_path: Path, small_parts: int) -> None:
    """Someone lists and reads without pause; failing puts and an output of several parts among many."""
    for number in range(6):
        bucket.put(f"in/p{number}.png", paint(tmp_path / "p.png", number))
    noise = np.random.default_rng(0).integers(0, 256, (1100, 1100, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.bmp")
    bucket.put("in/large.bmp", tmp_path / "large.bmp")
    store.fail("PUT", "out/p", times=2)
    store.fail("PUT", "partNumber=2", times=2, how="reset")
    seen: list[tuple[str, bytes]] = []
    is_over = threading.Event()

    def look_on() -> None:
        while not is_over.is_set():
            seen.extend((key, bucket.get(f"out/{key}")) for key in bucket.keys("out/"))

    reader = threading.Thread(target=look_on)
    reader.start()
    try:
        outcome = run(f"{bucket.url}/in/", "-o", f"{bucket.url}/out/", *FAST)
    finally:
        is_over.set()
        reader.join()
    assert outcome.code == 0, outcome.err
    final = {key: bucket.get(f"out/{key}") for key in bucket.keys("out/")}
    assert len(final) == 7
    assert len(final["large_2x.bmp"]) > 2 * small_parts
    assert seen
    assert all(final.get(key) == data for key, data in seen)
    assert bucket.uploads() == []
