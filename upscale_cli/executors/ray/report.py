"""What the nodes of a cluster report of themselves, for `upscale doctor --ray`."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from upscale_cli._version import __version__
from upscale_cli.errors import OutputError
from upscale_cli.events import Say
from upscale_cli.executors.ray.connection import connect
from upscale_cli.executors.ray.library import GetTimeoutError, RayError, is_not_installed, ray, why_gone
from upscale_cli.executors.ray.nodes import Node, nodes, on_node
from upscale_cli.executors.ray.shared_files import Probe, Probes
from upscale_cli.executors.ray.worker import Facts, look

ANSWERING_SECONDS: Final = 60.0
"""How long a node may take to report: its worker imports torch first."""

NO_OPS: Final = 20
"""Tasks that do nothing, to see how long that takes."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What was found out about a node.

    Attributes:
        facts: what it reports of itself; None: nothing.
        problem: why it reports nothing.
        seconds: that a task takes which does nothing.
    """

    node: Node
    facts: Facts | None = None
    problem: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """What was found out about a cluster.

    Attributes:
        address: of its head.
        version: of Ray.
        logs: the folder of every node where its workers' logs lie.
    """

    address: str
    version: str
    logs: str
    nodes: tuple[NodeReport, ...]


def examine_cluster(address: str, folder: Path | None, say: Say) -> ClusterReport:
    """Asks every node what it has; nothing is left running.

    Args:
        folder: that all nodes should see.

    Raises:
        OptionError, DeviceError: as `open_ray_executor`.
        OutputError: nothing can be written into the folder.
    """
    probes = Probes()
    try:
        probe = None if folder is None else probes.probe_in(folder.absolute())
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written ({error.strerror}). Choose a folder you may write to."
        ) from error
    try:
        info = connect(address, say, start=False)
        alive = nodes()
        with ThreadPoolExecutor(max(1, len(alive))) as pool:
            reports = tuple(pool.map(lambda node: _examine(node, probe), alive))
        return ClusterReport(info["address"], ray.__version__, str(Path(info["session_dir"]) / "logs"), reports)
    finally:
        probes.close()
        ray.shutdown()


def _examine(node: Node, probe: Probe | None) -> NodeReport:
    look_there = ray.remote(num_cpus=0, scheduling_strategy=on_node(node))(look)
    try:
        facts: Facts = ray.get(look_there.remote(probe), timeout=ANSWERING_SECONDS)
        seconds = []
        for _ in range(NO_OPS):
            begin = time.perf_counter()
            ray.get(ray.remote(num_cpus=0, scheduling_strategy=on_node(node))(_nothing).remote())
            seconds.append(time.perf_counter() - begin)
    except GetTimeoutError:
        return NodeReport(node, problem=f"no answer within {ANSWERING_SECONDS:.0f} s")
    except RayError as error:
        if is_not_installed(error):
            return NodeReport(node, problem=f"upscale-cli is not installed there; install {__version__}")
        return NodeReport(node, problem=why_gone(error))
    return NodeReport(node, facts, seconds=statistics.median(seconds))


def _nothing() -> None:
    """What takes no time but Ray's own."""
