"""What a folder of photos costs on an object store: requests of each kind, and bytes, per photo.

    python -m benchmarks.object_requests [--photos 50] [--side 512]

Photos go from one prefix to another through `upscale` as a process of its own. The store is a local S3 server that
counts; so requests and bytes are those of any store, and seconds are not. Needs the extras [s3] and [test].
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.report import REPOSITORY, photo, write
from tests.stores import ENVIRONMENT, Bucket, Store


def main() -> None:
    """Writes benchmarks/object_requests.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=50)
    parser.add_argument("--side", type=int, default=512)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Store() as store:
        bucket = store.bucket("benchmark")
        sources = fill(bucket, Path(folder), arguments.photos, arguments.side)
        runs = {
            "all_new": measured(store, bucket, arguments.photos),
            "nothing_left_to_do": measured(store, bucket, arguments.photos),
            "all_again_with_overwrite": measured(store, bucket, arguments.photos, "--overwrite"),
        }
        outputs = sum(len(bucket.get(f"out/{key}")) for key in bucket.keys("out/"))
    megapixels = arguments.photos * arguments.side**2 / 1e6
    write(
        "object_requests",
        f"{arguments.photos} JPEGs of {arguments.side} x {arguments.side} from one prefix of a bucket to another, "
        "espcn at scale 2, one process; what the store was asked, and the bytes of request and answer bodies.",
        {
            "photos": arguments.photos,
            "lr_megapixels": round(megapixels, 2),
            "input_bytes_per_photo": round(sources / arguments.photos),
            "output_bytes_per_photo": round(outputs / arguments.photos),
            "input_bytes_per_lr_megapixel": round(sources / megapixels),
            "output_bytes_per_sr_megapixel": round(outputs / megapixels / 4),
            "runs": runs,
        },
    )


def fill(bucket: Bucket, folder: Path, photos: int, side: int) -> int:
    """Makes the inputs; gives their bytes."""
    size = 0
    for number in range(photos):
        path = folder / f"{number}.jpg"
        Image.fromarray(photo(side, side, seed=number)).save(path, quality=90)
        bucket.put(f"in/{number}.jpg", path)
        size += path.stat().st_size
    return size


def measured(store: Store, bucket: Bucket, photos: int, *options: str) -> dict[str, Any]:
    """One run: requests, per photo too, and bytes in both directions."""
    store.reset()
    environment = os.environ | ENVIRONMENT | {
        "AWS_ENDPOINT_URL": store.url, "PYTHONPATH": str(REPOSITORY), "UPSCALE_OFFLINE": "1"
    }  # fmt: skip
    command = [sys.executable, "-m", "upscale_cli", f"{bucket.url}/in/", "-o", f"{bucket.url}/out/", "-m", "espcn"]
    subprocess.run([*command, "-s", "2", "--device", "cpu", "-q", *options], env=environment, check=True)
    return {
        "requests": dict(sorted(store.requests.items())),
        "requests_per_photo": {kind: round(n / photos, 3) for kind, n in sorted(store.requests.items())},
        "bytes_to_the_store": store.moved["in"],
        "bytes_from_the_store": store.moved["out"],
    }


if __name__ == "__main__":
    main()
