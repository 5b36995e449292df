"""What some cases of `unchanged` need beside files: a cluster of Ray, a store of objects; each side has its own."""

import contextlib
import importlib.util
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from benchmarks.unchanged_equal import MANIFEST

Service = Literal["", "ray", "s3"]

WAIT_SECONDS: Final = 120
BUCKET: Final = "unchanged"
LINES: Final = ".upscale-manifest/"
"""Objects below it are a manifest in pieces, under names that differ from run to run."""

CLUSTER: Final = """
import sys
from ray.cluster_utils import Cluster
store = {"object_store_memory": 80 * 2**20, "plasma_directory": sys.argv[1]}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **store})
for _ in range(2):
    cluster.add_node(num_cpus=1, **store)
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""
STORE: Final = {
    "AWS_ACCESS_KEY_ID": "the-key", "AWS_SECRET_ACCESS_KEY": "the-secret", "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "none", "AWS_SHARED_CREDENTIALS_FILE": "none",
}  # fmt: skip
"""What a user of a store sets, but for its endpoint."""


def why_not(service: Service, *, ray: bool) -> str:
    """Why a service cannot be had here; "" where it can.

    Args:
        ray: whether the user wants the cases on a cluster.
    """
    if service == "ray" and not ray:
        return "a cluster is started with --ray only"
    needed = {"": (), "ray": ("ray",), "s3": ("boto3", "s3fs", "moto", "werkzeug")}[service]
    absent = [name for name in needed if importlib.util.find_spec(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


@contextlib.contextmanager
def serving(
    service: Service, work: Path, sources: Collection[str], environment: Mapping[str, str]
) -> Iterator[dict[str, str]]:
    """What a side's processes find in their environment beside all else.

    Args:
        work: where the inputs lie; objects are brought there, into `bucket/`, when all is done.
        sources: inputs that are put into the store, as `in/NAME`.
    """
    with contextlib.ExitStack() as stack:
        match service:
            case "ray":
                address = stack.enter_context(_cluster(environment))
                yield {"RAY_ADDRESS": address, "RAY_USAGE_STATS_ENABLED": "0"}
            case "s3":
                endpoint = stack.enter_context(_store(environment))
                client = _client(endpoint)
                client.create_bucket(Bucket=BUCKET)
                for name in sorted(sources):
                    client.upload_file(str(work / name), BUCKET, f"in/{Path(name).name}")
                yield STORE | {"AWS_ENDPOINT_URL": endpoint}
                _bring(client, work / "bucket")
            case _:
                yield {}


@contextlib.contextmanager
def _cluster(environment: Mapping[str, str]) -> Iterator[str]:
    """The address of two nodes of one CPU each, whose workers import what the environment says."""
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", CLUSTER, folder], env={**environment, **quiet}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            lines = (line.strip() for line in process.stdout)
            address = next((line for line in lines if line.count(":") == 1 and " " not in line), "")
            if not address:
                raise RuntimeError("Ray starts no cluster here")
            yield address
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=WAIT_SECONDS)  # it shuts down at the end of its input
            process.kill()


@contextlib.contextmanager
def _store(environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a server of moto in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > until or process.poll() is not None:
                    raise
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _client(endpoint: str) -> Any:
    import boto3

    return boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1",
        aws_access_key_id="the-key", aws_secret_access_key="the-secret",
    )  # fmt: skip


def _bring(client: Any, folder: Path) -> None:
    """All objects as files; a manifest's lines in one file, in the order of their names."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for key in sorted(one["Key"] for one in page.get("Contents", ())):
            content = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            is_manifest = LINES in key
            path = folder / (f"{key.partition(LINES)[0]}{MANIFEST}" if is_manifest else key)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as stream:
                stream.write(content + (b"\n" if is_manifest else b""))
