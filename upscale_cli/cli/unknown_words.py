"""Words that the command line does not know, answered in one line: verbs misspelt, options of other programs.

The options are those of Real-ESRGAN's own scripts, of its ncnn-vulkan and waifu2x-ncnn-vulkan programs, of video2x and
of Upscayl's command line, as their documents list them. Imports neither torch nor numpy.
"""

import difflib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from upscale_cli.errors import OptionError, printable

VERBS: Final = {
    "eval": "upscale eval", "compare": "upscale compare", "models": "upscale models list", "doctor": "upscale doctor",
    "export": "upscale export", "tune": "upscale tune", "bench": "upscale bench", "mcp": "upscale mcp",
    "serve": "upscale serve",
    "list": "upscale models list", "archs": "upscale models archs",
    "info": "upscale models info", "fetch": "upscale models fetch", "verify": "upscale models verify",
    "path": "upscale models path", "search": "upscale models search",
}  # fmt: skip
"""What is meant by a verb, or by a word near it."""

OTHER_WORDS: Final = {
    **dict.fromkeys(("help", "usage", "man"), "upscale --help"),
    "version": "upscale --version",
    "completion": "upscale --install-completion",
    **dict.fromkeys(("download", "install", "pull"), "upscale models fetch"),
    **dict.fromkeys(("evaluate", "measure", "score", "psnr", "test"), "upscale eval"),
    **dict.fromkeys(("benchmark", "speed", "timing"), "upscale bench"),
    **dict.fromkeys(("server", "web", "api", "gui"), "upscale serve"),
    **dict.fromkeys(("diff", "difference", "side-by-side"), "upscale compare"),
    **dict.fromkeys(("onnx", "to-onnx", "openvino"), "upscale export"),
    **dict.fromkeys(("check", "diagnose", "env", "devices"), "upscale doctor"),
    **dict.fromkeys(
        ("upscale", "enlarge", "enhance", "run", "convert", "process", "image", "images", "photo", "photos", "video",
         "videos", "clip", "clips", "folder", "batch"), "upscale INPUT"
    ),
}  # fmt: skip
"""What is meant by words that other programs have for verbs; they are taken as they stand only."""

NEAR: Final = 0.6
"""How alike a word has to be to a verb that it is taken for; 1 is equal."""

_INPUT: Final = "inputs need no option. Write `upscale photo.jpg`."
_OUTPUT: Final = "is -o here. Write -o FILE, or -o FOLDER/."
_GPU: Final = "is -g here. Write -g 0 (-1 for the processor, all for every GPU)."
_MODEL: Final = "is -m here. Write -m NAME (`upscale models list`), or -m FILE for a checkpoint."
_SCALE: Final = "is -s here. Write -s 4, or --size 3840x2160 for a size."
_OVERLAP: Final = "is --overlap here. Leave it out: tiles are seamless by themselves."
_NOISE: Final = "is --denoise here, 0 to 1, and goes with -m realesr-general."
_HALF: Final = "is --precision fp16 here. Leave it out: the fastest that is safe is taken."
_FULL: Final = "is --precision fp32 here."
_SIZE: Final = "is --size here. Write --size 3840 (width), --size x2160 (height) or --size 3840x2160."
_FORMAT: Final = "is -f here. Write -f png, or give -o a name with that ending."
_FACES: Final = "there is no net for faces alone here; -m realesrgan takes them with the picture. Leave it out."
_JOBS: Final = "is -j here, for the pictures in progress at a time. Leave it out: the machine decides."
_OVERWRITE: Final = "is --overwrite here: outputs are replaced, and never inputs."
_CODEC: Final = "is --codec here. Write --codec libx265, or leave it out."
_QUALITY: Final = "is --crf here for clips, and --quality for photos."
_NAMES: Final = "is part of -o here. Write -o '{stem}_large{ext}'."
_NONE: Final = "has nothing that it would stand for here. Leave it out."

FOREIGN: Final = {
    **dict.fromkeys(("-i", "--input", "--input-path", "--input-dir", "--image", "--video", "--in"), _INPUT),
    **dict.fromkeys(("--output-path", "--output-dir", "--out", "--outdir", "--save-path"), _OUTPUT),
    **dict.fromkeys(("--gpu", "--gpu-id", "--gpus", "--gpuid", "--cuda-device", "--device-id"), _GPU),
    **dict.fromkeys(("--model-name", "--model-path", "--models", "--net", "--weights"), _MODEL),
    **dict.fromkeys(("--outscale", "--upscale", "--factor", "--scale-factor", "--ratio", "--upsampling"), _SCALE),
    **dict.fromkeys(("--tile-pad", "--tile-overlap", "--tile-padding", "--prepadding"), _OVERLAP),
    **dict.fromkeys(("--tile-size", "--tilesize", "--patch-size"), "is -t here. Leave it out: by free memory."),
    **dict.fromkeys(("-dn", "--denoise-strength", "--noise-level", "--denoise-level"), _NOISE),
    **dict.fromkeys(("--half", "--fp16", "--amp"), _HALF),
    **dict.fromkeys(("--fp32", "--full", "--no-half"), _FULL),
    "--bf16": "is --precision bf16 here.",
    **dict.fromkeys(("--cpu", "--use-cpu", "--no-gpu"), "is --device cpu here."),
    **dict.fromkeys(("--cuda", "--use-gpu"), "is --device cuda here. Leave it out: a GPU is used where there is one."),
    **dict.fromkeys(("-w", "--width", "--height", "--resolution", "--resize"), _SIZE),
    **dict.fromkeys(("--ext", "--extension", "--output-format", "--save-format"), _FORMAT),
    **dict.fromkeys(("--face-enhance", "--face", "--faces", "--gfpgan", "--face-restore"), _FACES),
    **dict.fromkeys(("--threads", "--workers", "--num-workers", "--num-process-per-gpu", "--processes"), _JOBS),
    **dict.fromkeys(("-y", "--force"), _OVERWRITE),
    **dict.fromkeys(("-c", "--vcodec", "--encoder", "--video-codec"), _CODEC),
    **dict.fromkeys(("-b", "--bitrate", "--cq", "--qp"), _QUALITY),
    **dict.fromkeys(("--compression", "--compress", "--jpeg-quality"), "is --quality here, 0 to 100."),
    **dict.fromkeys(("--suffix", "--prefix"), _NAMES),
    **dict.fromkeys(("--recurse", "--recursively"), "is -r here."),
    **dict.fromkeys(("--tta-mode", "--ensemble", "--self-ensemble"), "is --tta (-x) here."),
    **dict.fromkeys(("--alpha-upsampler", "--alpha-mode"), "is --alpha here: net, lanczos or drop."),
    **dict.fromkeys(("-p", "--processor", "--filter", "--algorithm"), _MODEL),
    **dict.fromkeys(("--pre-pad", "--extract-frame-first", "--lossless", "--compile", "--batch-size"), _NONE),
    "--ffmpeg-bin": "is the variable UPSCALE_FFMPEG here.",
    "--skip": "is --skip-existing here.",
    "--model-dir": "is the variable UPSCALE_WEIGHTS here, with the folder.",
    "-V": "is --version here.",
}
"""Options of other programs, by how they are written, with hyphens; and what to use here."""


def check_words(names: Sequence[str]) -> None:
    """Refuses inputs that look like a verb and are no file, before what stands beside them is upscaled.

    Raises:
        OptionError: one is a verb, misspelt or in the wrong place; or the first of several is a bare word that names
            nothing; or one is empty.
    """
    if "" in names:
        raise OptionError("an input has no name: a variable, perhaps, that is not set. Name a file or a folder.")
    for name in filter(_is_bare, names):
        meant = _meant(name)
        if meant is not None and name in VERBS:
            raise OptionError(f"{name} is a verb, and no file of that name is there. Verbs come first: `{meant}`.")
        if meant is not None:
            raise OptionError(
                f"{printable(name)} is neither a verb nor a file that is there, so nothing was done. "
                f"Did you mean `{meant}`?"
            )
    if len(names) > 1 and _is_bare(names[0]):
        meant = OTHER_WORDS.get(names[0].lower())
        hint = f"Did you mean `{meant}`?" if meant else "`upscale --help` shows the verbs."
        raise OptionError(
            f"{printable(names[0])} is neither a verb nor a file that is there, so nothing was done. {hint}"
        )


def _is_bare(name: str) -> bool:
    """Whether it is a word alone, without an ending, that names nothing in this folder."""
    return name.replace("-", "").replace("_", "").isalnum() and not os.path.lexists(name)


def _meant(name: str) -> str | None:
    """The command line that a word stands for; None where it is like none."""
    word = name.lower()
    near = difflib.get_close_matches(word, VERBS, n=1, cutoff=NEAR)
    if near:
        return VERBS[near[0]]
    meant = OTHER_WORDS.get(word)
    return meant if meant != OTHER_WORDS["run"] else None


def answer_to(unknown: str, args: Iterable[str], known: Collection[str], others: Mapping[str, str]) -> str:
    """What to use in place of an option that is none here, in one line.

    Args:
        unknown: as the parser names it: of -dn it says -d.
        args: the command line.
        known: every option that there is.
        others: options of other programs, and the answers to them.

    >>> answer_to("--gpu", ["a.jpg", "--gpu", "0"], [], FOREIGN)
    '--gpu: is -g here. Write -g 0 (-1 for the processor, all for every GPU).'
    """
    written = [word.partition("=")[0] for word in args]
    given = [word for word in written if word == unknown or (word.startswith(unknown) and not unknown.startswith("--"))]
    for word in dict.fromkeys((*given, unknown)):
        hyphened = word if word in others else word.replace("_", "-").lower()
        if hyphened in others:
            return f"{printable(word)}: {others[hyphened]}"
        if hyphened in known:
            return f"{printable(word)}: is {hyphened} here."
    near = difflib.get_close_matches(unknown.lower(), known, n=1, cutoff=NEAR)
    hint = f"Did you mean {near[0]}?" if near else "Leave it out; the help shows those that there are."
    return f"{printable(unknown)}: is no option here. {hint}"
