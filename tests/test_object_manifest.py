"""What is done below a prefix, as the manifest there knows it: after kills, with several runs, when there is much."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from upscale_cli.batch import manifest_objects
from upscale_cli.batch.manifest import JobOptions, Manifest, outputs_listed_in
from upscale_cli.batch.manifest_objects import LINES_PREFIX
from upscale_cli.errors import OutputError
from upscale_cli.files.object_listing import stamp
from upscale_cli.jobs.inputs import Input

if TYPE_CHECKING:
    from tests.stores import Bucket, Store

JOB, OTHER = JobOptions({"model": "espcn", "scale": 4}), JobOptions({"model": "espcn", "scale": 2})


def source(bucket: "Bucket", name: str = "a.png", data: bytes = b"lr") -> Input:
    url = bucket.put(f"in/{name}", data)
    return Input(url, root=f"{bucket.url}/in/", listed=stamp(url))


def place(bucket: "Bucket", name: str = "a_4x.png") -> str:
    return f"{bucket.url}/out/{name}"


def opened(bucket: "Bucket") -> Manifest:
    """The manifest as another run finds it."""
    return Manifest(f"{bucket.url}/out/")


def made(bucket: "Bucket", given: Input, content: bytes = b"sr", job: JobOptions = JOB) -> Manifest:
    """A manifest in which an output is done."""
    manifest = opened(bucket)
    record = manifest.begin(given, place(bucket), job)
    bucket.put("out/a_4x.png", content)
    manifest.finish(record)
    manifest.tidy()
    return manifest


def lines(bucket: "Bucket") -> list[dict[str, object]]:
    """All lines there are, in order."""
    found = bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=f"out/{LINES_PREFIX}").get("Contents", [])
    return [json.loads(line) for one in found for line in bucket.get(one["Key"]).splitlines()]


def line_objects(bucket: "Bucket") -> list[str]:
    found = bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=f"out/{LINES_PREFIX}").get("Contents", [])
    return [one["Key"] for one in found]


def test_what_is_done_is_known_to_the_next_run(bucket: "Bucket") -> None:
    given = source(bucket)
    made(bucket, given)
    record = opened(bucket).finished(given, JOB)
    assert record is not None
    assert opened(bucket).place(record) == place(bucket)
    assert opened(bucket).finished(given, OTHER) is None
    assert opened(bucket).may_replace(given, place(bucket))
    assert outputs_listed_in(f"{bucket.url}/out/") == {(place(bucket), 2)}


@pytest.mark.slow
@pytest.mark.parametrize("change", ["input", "output", "output gone"])
def test_what_has_changed_is_done_again(bucket: "Bucket", change: str) -> None:
    given = source(bucket)
    made(bucket, given)
    if change == "input":
        given = source(bucket, data=b"ww")
    elif change == "output":
        bucket.put("out/a_4x.png", b"edited")
    else:
        bucket.delete("out/a_4x.png")
    assert opened(bucket).finished(given, JOB) is None
    assert opened(bucket).may_replace(given, place(bucket)) == (change == "input")


def test_a_local_file_that_became_an_object_is_known(bucket: "Bucket", tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(b"lr")
    given = Input(str(tmp_path / "in/a.png"), root=str(tmp_path / "in"))
    made(bucket, given)
    assert opened(bucket).finished(given, JOB) is not None


def test_an_output_is_noted_before_it_can_appear(bucket: "Bucket") -> None:
    """Killed after the put, before any other line."""
    given = source(bucket)
    opened(bucket).begin(given, place(bucket), JOB)
    assert opened(bucket).finished(given, JOB) is None
    bucket.put("out/a_4x.png", b"sr")
    assert opened(bucket).finished(given, JOB) is not None
    assert opened(bucket).may_replace(given, place(bucket))


def test_many_are_noted_together(store: "Store", bucket: "Bucket") -> None:
    given = [source(bucket, f"{number}.png") for number in range(20)]
    manifest = opened(bucket)
    manifest.expect([(one, place(bucket, one.pure_path.name), JOB) for one in given])
    store.requests.clear()
    records = [manifest.begin(one, place(bucket, one.pure_path.name), JOB) for one in given]
    assert store.requests == {"PUT": 1}
    assert [line["begun"] for line in lines(bucket) if "begun" in line] == [f"{number}.png" for number in range(20)]
    manifest.drop(records[0])
    manifest.tidy()  # what was never begun with is dropped
    left = {line["dropped"] for line in lines(bucket) if "dropped" in line}
    assert left == {f"{number}.png" for number in range(20)}
    bucket.put("out/5.png", b"somebody's")
    assert opened(bucket).finished(given[5], JOB) is None
    assert not opened(bucket).may_replace(given[5], place(bucket, "5.png"))


def test_lines_that_can_wait_are_put_together(
    store: "Store", bucket: "Bucket", monkeypatch: pytest.MonkeyPatch
) -> None:
    given = source(bucket)
    manifest = opened(bucket)
    record = manifest.begin(given, place(bucket), JOB)
    bucket.put("out/a_4x.png", b"sr")
    store.requests.clear()
    manifest.finish(record)
    assert store.requests["PUT"] == 0
    monkeypatch.setattr(manifest_objects, "PUT_SECONDS", 0.0)
    manifest.finish(record)
    storage: Any = manifest._storage
    storage._lines._aside.join(30)  # the run itself does not wait
    assert store.requests["PUT"] == 1


def test_what_cannot_be_put_aside_is_told_in_the_end(bucket: "Bucket", monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = opened(bucket)
    record = manifest.begin(source(bucket), place(bucket), JOB)
    bucket.put("out/a_4x.png", b"sr")

    def fails(*_: object) -> None:
        raise OutputError("no.")

    with monkeypatch.context() as patch:
        patch.setattr(manifest_objects, "PUT_SECONDS", 0.0)
        patch.setattr("upscale_cli.files.object_store.write", fails)
        manifest.finish(record)
        storage: Any = manifest._storage
        storage._lines._aside.join(30)
        with pytest.raises(OutputError):
            storage.flush()
    storage.flush()
    assert [line for line in lines(bucket) if "done" in line]


def test_a_run_begins_another_object_before_one_grows_large(bucket: "Bucket", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_objects, "OBJECT_BYTES", 500)
    manifest = opened(bucket)
    for number in range(6):
        manifest.begin(source(bucket, f"{number}.png"), place(bucket, f"{number}.png"), JOB)
    assert len(line_objects(bucket)) > 1
    assert len([line for line in lines(bucket) if "begun" in line]) == 6


def test_two_runs_at_once(bucket: "Bucket") -> None:
    """The second knows what the first has done when its own put is refused."""
    given = source(bucket)
    ours, theirs = opened(bucket), opened(bucket)
    theirs.begin(given, place(bucket), JOB)
    record = ours.begin(given, place(bucket), JOB)
    bucket.put("out/a_4x.png", b"theirs")
    assert ours.finished(given, JOB) is None
    ours.drop(record)
    ours.look_again(record)
    assert ours.finished(given, JOB) is not None


def test_what_another_run_adds_is_seen(bucket: "Bucket", monkeypatch: pytest.MonkeyPatch) -> None:
    given, ours = source(bucket), opened(bucket)
    made(bucket, given)
    ours.refresh()
    assert ours.finished(given, JOB) is None  # it is not looked for all the time
    monkeypatch.setattr(manifest_objects, "LOOK_SECONDS", float("-inf"))
    ours.refresh()
    assert ours.finished(given, JOB) is not None


@pytest.fixture
def merging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects are many from three on, and old at once."""
    monkeypatch.setattr(manifest_objects, "MANY_OBJECTS", 3)
    monkeypatch.setattr(manifest_objects, "OLD_SECONDS", -60.0)


def looked_at(bucket: "Bucket") -> None:
    """A run that has nothing to do."""
    manifest = opened(bucket)
    manifest.check()
    manifest.tidy()


def in_three_runs(bucket: "Bucket") -> Input:
    """One output three times, each time from another input."""
    for data in (b"1", b"22", b"333"):
        given = source(bucket, data=data)
        made(bucket, given, b"sr" + data)
    return given


@pytest.mark.usefixtures("merging")
def test_many_runs_are_merged(bucket: "Bucket") -> None:
    given = in_three_runs(bucket)
    before = lines(bucket)
    looked_at(bucket)
    (merged,) = line_objects(bucket)
    assert lines(bucket) == before
    assert opened(bucket).finished(given, JOB) is not None
    assert opened(bucket).may_replace(given, place(bucket))
    made(bucket, given, b"anew")
    made(bucket, given, b"and anew")
    looked_at(bucket)
    assert line_objects(bucket) == [merged]
    assert opened(bucket).may_replace(given, place(bucket))


@pytest.mark.slow
@pytest.mark.usefixtures("merging")
@pytest.mark.parametrize("deleted", [0, 1, 2])
def test_a_kill_while_runs_are_merged(bucket: "Bucket", monkeypatch: pytest.MonkeyPatch, deleted: int) -> None:
    given, left = in_three_runs(bucket), deleted

    class Killed(BaseException):
        pass

    def remove(url: str) -> None:
        nonlocal left
        if not left:
            raise Killed
        left -= 1
        bucket.delete(url.removeprefix(f"{bucket.url}/"))

    with monkeypatch.context() as patch:
        patch.setattr("upscale_cli.files.object_store.remove", remove)
        with pytest.raises(Killed):
            opened(bucket).check()
    assert len(line_objects(bucket)) == 5 - deleted  # and that of the run which was killed
    for _ in range(2):
        assert opened(bucket).finished(given, JOB) is not None
        assert opened(bucket).may_replace(given, place(bucket))
        looked_at(bucket)
    assert len(line_objects(bucket)) < 4


@pytest.mark.usefixtures("merging")
def test_a_run_that_lives_loses_nothing_to_a_merger(bucket: "Bucket") -> None:
    given = in_three_runs(bucket)
    living = opened(bucket)
    other = source(bucket, "b.png")
    record = living.begin(other, place(bucket, "b.png"), JOB)
    looked_at(bucket)
    bucket.put("out/b.png", b"sr")
    living.finish(record)
    living.tidy()
    for one in (given, other):
        assert opened(bucket).finished(one, JOB) is not None


def test_young_ones_are_left_alone(bucket: "Bucket", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_objects, "MANY_OBJECTS", 3)
    in_three_runs(bucket)
    looked_at(bucket)
    assert len(line_objects(bucket)) == 3


@pytest.mark.parametrize("data", [b"\xff\xfe\n", b"[]\n", b'{"done": 3}\n', b'{"begun": "torn'])
def test_nonsense_is_ignored(bucket: "Bucket", data: bytes) -> None:
    given = source(bucket)
    made(bucket, given)
    bucket.put(f"out/{LINES_PREFIX}00000000T000000.jsonl", data)
    assert opened(bucket).finished(given, JOB) is not None


def test_an_empty_manifest_goes_again(bucket: "Bucket") -> None:
    manifest = opened(bucket)
    manifest.check()
    assert len(line_objects(bucket)) == 1
    assert opened(bucket).outputs() == frozenset()
    manifest.tidy()
    assert line_objects(bucket) == []


def test_lines_that_cannot_be_put_are_told(store: "Store", bucket: "Bucket") -> None:
    given, manifest = source(bucket), opened(bucket)
    store.fail("PUT", how="403")
    with pytest.raises(OutputError, match="denies access"):
        manifest.check()
    with pytest.raises(OutputError, match="denies access"):
        manifest.begin(given, place(bucket), JOB)
    with pytest.raises(OutputError, match="denies access"):
        manifest.tidy()
