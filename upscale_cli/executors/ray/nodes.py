"""The machines of a cluster, and what a worker takes of one: threads on the CPU, or a GPU or a part of it."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from upscale_cli.errors import DeviceError
from upscale_cli.executors.ray.connection import AUTO
from upscale_cli.executors.ray.library import NodeAffinitySchedulingStrategy, RayError, one_line, ray
from upscale_cli.inference.device import GPU_SHARE
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.tile_layout import MAX_WINDOW
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.messages import option

THREADS: Final = (4, 2, 1)
"""Of a worker without a GPU: more workers of few threads do more than fewer of many, but each takes a GB of memory."""

USED_WELL: Final = 0.8
"""Part of the cluster's CPUs that workers should use; nodes with fewer CPUs than a worker has threads are left out."""

CUDA_BYTES: Final = 800 * 2**20
"""What CUDA and cuDNN take of a GPU's memory for a process."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster.

    Attributes:
        name: for messages.
        cpus, gpus: that Ray may give out in all.
    """

    id: str
    name: str
    cpus: float
    gpus: float

    def room(self, need: "Need") -> int:
        """How many workers it holds."""
        rooms = [self.cpus // need.cpus] if need.cpus else []
        return int(min([*rooms, *([self.gpus // need.gpus] if need.gpus else [])]))


def nodes() -> list[Node]:
    """All that are alive."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    hosts = Counter(node["NodeManagerHostname"] for node in alive)
    return [
        Node(
            node["NodeID"],
            host if hosts[host] == 1 else f"{host} ({node['NodeID'][:6]})",
            node["Resources"].get("CPU", 0.0),
            node["Resources"].get("GPU", 0.0),
        )
        for node in alive
        for host in (node["NodeManagerHostname"],)
    ]


def on_node(node: Node) -> NodeAffinitySchedulingStrategy:
    """Makes Ray start something there, or not at all."""
    return NodeAffinitySchedulingStrategy(node.id, soft=False)


@dataclass(frozen=True, slots=True)
class Need:
    """What every worker takes of its node.

    Attributes:
        device: "cpu" or "cuda".
        threads: of the net, on the CPU.
        cpus, gpus: as Ray counts them; a GPU may be shared.
    """

    device: str
    threads: int
    cpus: int
    gpus: float = 0.0


def need_of(upscaler: Upscaler, cluster: Sequence[Node]) -> Need:
    """What a worker with that model needs: a GPU or a part of one if the cluster has any, else some CPUs.

    Raises:
        DeviceError: no node has what was asked for.
    """
    wanted = upscaler.recipe.options.device.lower()
    with_gpu = [node for node in cluster if node.gpus]
    if wanted != "cpu" and with_gpu:
        return Need("cuda", 1, 1, gpu_share(gpu_bytes(upscaler), min(map(gpu_memory, with_gpu))))
    if wanted not in (AUTO, "cpu"):
        raise DeviceError(
            f"{option('device', wanted)}: no node of the cluster has a GPU. Choose {option('device')} auto or cpu."
        )
    if not any(node.cpus >= 1 for node in cluster):
        raise DeviceError("no node of the cluster has a CPU to hand out. Start one with `ray start --num-cpus N`.")
    threads = threads_for([int(node.cpus) for node in cluster])
    return Need("cpu", threads, threads)


def threads_for(cpus: Sequence[int]) -> int:
    """Threads of a worker: OMP_NUM_THREADS where that is set, and fits; else as many as use the nodes well.

    Args:
        cpus: of each node.

    >>> threads_for([8, 8, 2]), threads_for([2, 2, 8]), threads_for([1, 1])
    (4, 2, 1)
    """
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and 0 < int(given) <= max(cpus):
        return int(given)
    return next(
        threads for threads in THREADS if sum(one // threads * threads for one in cpus) >= USED_WELL * sum(cpus)
    )


def gpu_share(needed: int, memory: int) -> float:
    """The part of a GPU that a worker gets: a half where two fit, so that one computes while the other decodes.

    >>> gpu_share(2 * 2**30, 80 * 2**30), gpu_share(5 * 2**30, 8 * 2**30)
    (0.5, 1.0)
    """
    return 0.5 if 2 * needed <= GPU_SHARE * memory else 1.0


def gpu_bytes(upscaler: Upscaler) -> int:
    """What the largest window takes of a GPU's memory, in half precision, with CUDA itself."""
    passes = upscaler.plan_of_any(1000, 1000, Target(scale=upscaler.default_scale)).passes
    costs = (upscaler.net(scale, 8).cost for scale in passes)
    return CUDA_BYTES + int(max((2 * (cost.elements * MAX_WINDOW**2 + cost.fixed) for cost in costs), default=0))


def gpu_memory(node: Node) -> int:
    """Bytes of the first GPU of a node."""

    def total() -> int:
        import torch

        return int(torch.cuda.mem_get_info(0)[1])

    probe = ray.remote(num_cpus=0, num_gpus=0.01, scheduling_strategy=on_node(node))(total)
    try:
        return int(ray.get(probe.remote()))
    except RayError as error:
        raise DeviceError(
            f"{node.name}: its GPU does not answer ({one_line(error)}) Check the cluster with `upscale doctor`."
        ) from error
