"""Does the service keep to its own OpenAPI document: schemathesis asks, and holds every answer to it.

    pip install schemathesis          # in an environment of its own, if it wants other versions than are there
    python -m benchmarks.service_contract [--cases 2000] [--seed 0] [--quick]

Requests are made from the document, right ones and wrong ones, over all operations; one in two of those that name
something gets the id of a thing that is there, so that what lies behind is reached. Held to: no 5xx, but those that the
document names for a reason (503 and 507 of limits); no status, content type or body that it does not name. The service
runs in this process, without workers; streams of events end once they have said what there is.
"""

import argparse
import json
import logging
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode

from benchmarks.report import write
from upscale_cli.service.app import create_app
from upscale_cli.service.hub import Hub, Subscription
from upscale_cli.service.request import parsed
from upscale_cli.service.routes_uploads import PIECE
from upscale_cli.service.service import Service
from upscale_cli.service.settings import ServiceSettings

TOKEN: Final = "a token for a contract"

load_all_checks()

CHECKED: Final = CHECKS.get_by_names(
    ["status_code_conformance", "content_type_conformance", "response_schema_conformance",
     "response_headers_conformance"]
)  # fmt: skip
"""Not that all that is right by the schema is accepted: options that exclude each other are, and are refused."""

LIMITS: Final = (503, 507)
"""That are an answer, not a fault."""


def main() -> None:
    """Writes benchmarks/service_contract.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="200 cases, and no file is written.")
    arguments = parser.parse_args()
    cases = 200 if arguments.quick else arguments.cases
    logging.getLogger("upscale_cli.service").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name:
        result = asked(Path(name), cases, arguments.seed)
    for failure in result["failures"]:
        print(failure)
    if arguments.quick:
        print(json.dumps(result, indent=2))
    else:
        write(
            "service_contract",
            f"At least {cases} requests that schemathesis makes from the OpenAPI document, right and wrong ones, seed "
            f"{arguments.seed}: every answer as the document has it, and none a fault.",
            {"schemathesis": schemathesis.SCHEMATHESIS_VERSION, **result},
        )


@schemathesis.serializer(PIECE)  # type: ignore[untyped-decorator]
def piece(_: Any, value: Any) -> Any:
    """What is sent of an upload: bytes as they are."""
    return value if isinstance(value, bytes) else str(value).encode()


def asked(folder: Path, cases: int, seeded: int) -> dict[str, Any]:
    """Asks; gives how often, what was answered, and what went wrong."""
    statuses, failures = Counter[str](), dict[str, str]()
    with service_in(folder) as (service, ids):
        app = create_app(service)
        schema = schemathesis.openapi.from_asgi("/api/openapi.json", bare(app), headers=AUTHORIZED)
        operations = [found.ok() for found in schema.get_all_operations()]
        while sum(statuses.values()) < cases:  # some operations have less to ask than others
            each = -(-(cases - sum(statuses.values())) // (2 * len(operations)))
            for operation in operations:
                for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                    ask(operation, mode, each, seeded, ids, statuses, failures)
            seeded += 1
        jobs = service.store.counts()
    return {
        "operations": len(operations),
        "cases": sum(statuses.values()),
        "statuses": dict(sorted(statuses.items())),
        "jobs_made": sum(jobs.values()),
        "failures": sorted(failures.values()),
        "verdicts": {"at_least_as_many_cases": sum(statuses.values()) >= cases, "none_fails": not failures},
    }


AUTHORIZED: Final = {"Authorization": f"Bearer {TOKEN}", "Host": "localhost"}


def ask(
    operation: Any, mode: Any, times: int, seeded: int, ids: list[str], statuses: Counter[str], failures: dict[str, str]
) -> None:
    """One operation, so many times."""
    try:
        strategy = operation.as_strategy(generation_mode=mode)
    except Exception as error:  # nothing can be wrong about a request without parameters
        statuses[f"none ({type(error).__name__})"] += 0
        return
    left = times

    @seed(seeded)
    @settings(max_examples=times, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(case=strategy, known=st.none() | st.sampled_from(ids))
    def one(case: Any, known: str | None) -> None:
        nonlocal left
        if left == 0:
            return
        left -= 1
        if known is not None and case.path_parameters:
            case.path_parameters = dict.fromkeys(case.path_parameters, known)
        answer = case.call(headers=AUTHORIZED)
        statuses[str(answer.status_code)] += 1
        try:
            case.validate_response(answer, checks=CHECKED)
            if answer.status_code >= 500 and answer.status_code not in LIMITS:
                raise AssertionError(f"{answer.status_code}: {answer.text[:300]}")
        except (Exception, FailureGroup) as error:
            kind = f"{operation.method.upper()} {operation.path} {answer.status_code} {type(error).__name__}"
            failures.setdefault(kind, f"{kind}: {str(error)[:1500]} | {case.as_curl_command()[:600]}")

    try:
        one()
    except Exception as error:
        if type(error).__name__ != "Unsatisfiable" and "Unsatisfiable" not in str(error):
            kind = f"{operation.method.upper()} {operation.path} {mode} {type(error).__name__}"
            failures.setdefault(kind, f"{kind}: {str(error)[:1500]}")


Application = Callable[[Any, Any, Any], Awaitable[None]]


def bare(app: Application) -> Application:
    """An application without its own beginning and end: a client for each request would start its workers each time."""

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    return inner


class _Brief(Hub):
    """Says what there is, and no more."""

    def subscribe(self, job: str | None = None) -> Subscription:
        subscription = super().subscribe(job)
        subscription.tell(None)
        return subscription


@contextmanager
def service_in(folder: Path) -> Iterator[tuple[Service, list[str]]]:
    """A service without workers, and the ids of jobs in all states."""
    (folder / "media").mkdir()
    (folder / "media/a.png").write_bytes(b"no picture")
    service = Service(
        ServiceSettings(data=folder / "data", token=TOKEN, allow_folder=(folder / "media",), min_free=0,
                        max_upload=10**6, max_queue=10**5)
    )  # fmt: skip
    service.hub = _Brief()
    ids = []
    for state in ("queued", "running", "done", "done", "failed", "cancelled", "skipped"):
        job = service.submit(parsed('{"model": "bicubic"}'), name="a.png", source=folder / "media/a.png")
        result = service.folders.output(job.id) / "input_4x.png"
        result.parent.mkdir(parents=True)
        result.write_bytes(b"12345")
        service.store.update(job.id, state=state, result=result.name if state == "done" else "", result_bytes=5)
        service.store.note(job.id, {"event": "note", "text": "something"})
        ids.append(job.id)
    try:
        yield service, ids
    finally:
        service.store.close()


if __name__ == "__main__":
    main()
