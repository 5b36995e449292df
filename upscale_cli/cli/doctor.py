"""`upscale doctor`: what this machine has, or a cluster, and what is wrong with it."""

import importlib.metadata
import json
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from upscale_cli.cli.doctor_engines import engine_lines
from upscale_cli.cli.lines import put_on
from upscale_cli.text import counted

if TYPE_CHECKING:
    from upscale_cli.executors.ray.report import NodeReport
    from upscale_cli.executors.ray.worker import Facts

State = Literal["ok", "note", "problem"]

PACKAGES: Final = (
    "upscale-cli",
    "torch",
    "numpy",
    "pillow",
    "tifffile",
    "imagecodecs",
    "openimageio",
    "safetensors",
    "imageio-ffmpeg",
    "av",
    "typer",
    "rich",
)
EXTRAS: Final = {"pillow-heif": "heif", "spandrel": "spandrel"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: what was looked at, what was found, and whether it is as it should be."""

    what: str
    found: str
    state: State = "ok"


def examine() -> list[Finding]:
    """Looks at everything; runs nothing but ffmpeg (what it is, and which hardware encodes), and uses no network."""
    return [*_versions(), *_devices(), *_engines(), *_ffmpeg(), *_weights()]


def examine_ray(address: str, folder: Path | None) -> list[Finding]:
    """Asks every node of a Ray cluster what it has.

    Args:
        address: HOST:PORT of its head, or "auto".
        folder: that all nodes should see.

    Raises:
        OptionError, DeviceError: there is no such cluster, or no Ray. OutputError: the folder cannot be written to.
    """
    from upscale_cli.executors.ray.report import examine_cluster
    from upscale_cli.executors.ray.worker import look

    notes: list[str] = []
    report, here = examine_cluster(address, folder, notes.append), look()
    cpus, gpus = (sum(getattr(one.node, what) for one in report.nodes) for what in ("cpus", "gpus"))
    has = f"{counted(len(report.nodes), 'node')}, {cpus:g} CPUs, {gpus:g} GPUs"
    findings = [Finding("cluster", f"{report.address}, Ray {report.version}: {has}", "ok" if cpus else "problem")]
    findings += [Finding("cluster", note, "note") for note in notes]
    for one in report.nodes:
        findings += _node(one, here, folder)
    log = f"{report.logs} on every node, worker-*.err: a line for each job"
    return [*findings, Finding("logs", log)]


def _node(report: "NodeReport", here: "Facts", folder: Path | None) -> list[Finding]:
    """One node: what it has, what differs from this machine, what it does not see."""
    name, facts = report.node.name, report.facts
    if facts is None:
        return [Finding(name, report.problem, "problem")]
    has = f"{report.node.cpus:g} CPUs, {report.node.gpus:g} GPUs{''.join(f' ({gpu})' for gpu in facts.gpus)}"
    versions = ", ".join(f"{package} {version}" for package, version in facts.versions.items())
    findings = [Finding(name, f"{has}; {versions}; a task takes {report.seconds * 1000:.1f} ms")]
    for package, version in facts.versions.items():
        if version != here.versions[package]:
            state: State = "problem" if package == "upscale-cli" else "note"
            findings.append(Finding(name, f"{package} is {version} there and {here.versions[package]} here", state))
    if missing := [model for model in here.models if model not in facts.models]:
        findings.append(Finding(name, f"models that are here and not there: {', '.join(missing)}", "note"))
    if not facts.models:
        findings.append(Finding(name, "no model is there", "problem"))
    if facts.sees is not None:
        seen = "is seen" if facts.sees else "is not the folder that this machine sees under that path"
        findings.append(Finding(name, f"{folder} {seen}", "ok" if facts.sees else "problem"))
    return findings


def show(findings: Sequence[Finding], *, as_json: bool) -> None:
    """The report, for people or as JSON lines."""
    for finding in findings:
        if as_json:
            print(json.dumps(asdict(finding)))
        else:
            mark = {"ok": "  ", "note": "- ", "problem": "! "}[finding.state]
            put_on(sys.stdout, f"{mark}{finding.what:<18}{finding.found}", indent=20)


def _versions() -> list[Finding]:
    findings = [Finding("system", f"{platform.platform()}, Python {platform.python_version()} ({sys.executable})")]
    for package in PACKAGES:
        version = _version(package)
        findings.append(Finding(package, version) if version else Finding(package, "not installed", "problem"))
    for package, extra in EXTRAS.items():
        version = _version(package)
        absent = f'not installed (optional: pip install "upscale-cli[{extra}]")'
        findings.append(Finding(package, version or absent, "ok" if version else "note"))
    return findings


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> list[Finding]:
    import torch

    from upscale_cli.inference.cgroups import processors
    from upscale_cli.inference.device import choose_device, choose_precision, cpu_is_fast_at_bf16, free_host_memory

    threads = counted(torch.get_num_threads(), "thread")
    memory = f"{counted(processors(), 'core')}, {threads}, {free_host_memory() / 1e9:.1f} GB free"
    bf16 = "fast at bf16" if cpu_is_fast_at_bf16() else "no bf16 in hardware"
    findings = [Finding("cpu", f"{platform.processor() or platform.machine()}: {memory}, {bf16}")]
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        free, total = torch.cuda.mem_get_info(number)
        capability = f"capability {properties.major}.{properties.minor}"
        text = f"{properties.name}: {free / 1e9:.1f} of {total / 1e9:.1f} GB free, {capability}"
        findings.append(Finding(f"cuda:{number}", text))
    if torch.backends.mps.is_available():
        findings.append(Finding("mps", "Apple GPU"))
    if not torch.cuda.is_available() and _has_nvidia_gpu():
        why = "this torch is a CPU build" if torch.version.cuda is None else "torch does not reach it (driver too old?)"
        remedy = "install a CUDA build of torch (see the README)"
        findings.append(Finding("cuda", f"there is an NVIDIA GPU, but {why}: {remedy}", "problem"))
    device = choose_device("auto")
    precisions = {bits: choose_precision("auto", device, bits=bits, bf16_is_close=True) for bits in (8, 16)}
    chosen = f"{device}, {precisions[8]} for 8-bit pictures (where the net bears it), {precisions[16]} for deeper ones"
    return [*findings, Finding("chosen", chosen)]


def _engines() -> list[Finding]:
    return [Finding(what, found, "ok" if good else "note") for what, found, good in engine_lines()]


def _has_nvidia_gpu() -> bool:
    """Without torch: the driver's own traces."""
    return (
        shutil.which("nvidia-smi") is not None
        or Path("/proc/driver/nvidia/version").exists()
        or (
            sys.platform == "win32"
            and (Path(os.environ.get("SYSTEMROOT", "C:/Windows")) / "System32/nvcuda.dll").exists()
        )
    )


def _ffmpeg() -> list[Finding]:
    from upscale_cli.errors import FFmpegError
    from upscale_cli.media.video.codecs import CODECS
    from upscale_cli.media.video.encoder_choice import working_hardware
    from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg

    try:
        ffmpeg = find_ffmpeg()
    except FFmpegError as error:
        named = os.environ.get("UPSCALE_FFMPEG") or os.environ.get("IMAGEIO_FFMPEG_EXE")
        return [Finding("ffmpeg", f"{error} (needed for video only)", "problem" if named else "note")]
    software = [codec.name for codec in CODECS.values() if not codec.hardware and codec.name in ffmpeg.encoders]
    usual = {"libx264", "libx265"} <= set(software)
    return [
        Finding("ffmpeg", f"{ffmpeg.version} ({ffmpeg.path})"),
        Finding("encoders", ", ".join(software) or "none of ours", "ok" if usual else "note"),
        Finding("in hardware", ", ".join(working_hardware(ffmpeg)) or "none works here"),
    ]


def _weights() -> list[Finding]:
    from upscale_cli.models.registry import MODELS, rows_of
    from upscale_cli.models.resolve import better_model
    from upscale_cli.models.store import is_offline, locate, weights_folders
    from upscale_cli.models.suitable import candidates

    notes: list[str] = []
    findings = [
        Finding("weights in", f"{folder}{'' if folder.is_dir() else ' (not there yet)'}")
        for folder in weights_folders()
    ]
    here = [f"{spec.model} x{spec.scale}" for spec in MODELS if locate(spec, say=notes.append)]
    findings.append(Finding("models here", ", ".join(here) or "none", "ok" if here else "problem"))
    findings += [Finding("weights", note, "problem") for note in dict.fromkeys(notes)]
    findings.append(Finding("without -m", f"{', '.join(candidates())} - chosen by what a picture shows"))
    if better := better_model():
        size = max(spec.size or 0 for spec in rows_of(better))
        line = (
            f"-m {better} makes sharper photos; it is fetched once ({size / 1e6:.0f} MB): upscale models fetch {better}"
        )
        findings.append(Finding("better", line, "note"))
    if is_offline():
        findings.append(Finding("network", "UPSCALE_OFFLINE is set: nothing will be fetched", "note"))
    return findings
