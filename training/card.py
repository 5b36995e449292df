"""Writes the tables of weights/README.md and training/README.md from the logs, and prints the rows of the registry.

    python -m training.card

No figure of the model card is typed by hand: what the logs do not hold, the card does not claim.
"""

import itertools
import json
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import REPOSITORY, table, with_tables

LOGS = REPOSITORY / "training/logs"
START, STOP = "<!-- from training/logs by training/card.py -->\n", "<!-- end -->\n"
COMPACT_START = "<!-- swift and sharp, from training/logs by training/card.py -->\n"
INT8_START = "<!-- int8, from training/logs by training/card.py -->\n"
FAITHFUL_START = "<!-- photo-lite, from training/logs/photo-lite-x4.json by training/card.py -->\n"
PHOTO_START = "<!-- photo-lite, from training/logs by training/card.py -->\n"

ROBUST_START = "<!-- robust kinds, from training/logs by training/card.py -->\n"

COMPACT = ("swift", "sharp")
"""What training/compact.py trains."""

YARDSTICK = "espcn-robust"
"""What other robust kinds are held against."""

Log = dict[str, Any]


def read_logs(folder: Path = LOGS, prefix: str = "", nets: Sequence[str] = ("espcn",)) -> list[Log]:
    """One log per checkpoint of these nets, by kind and ascending scale."""
    files = [path for net in nets for path in folder.glob(f"{prefix}{net}-*.json")]
    logs = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    return sorted(logs, key=lambda log: (log["kind"], log["scale"]))


def pages() -> list[tuple[Path, str, str]]:
    """The pages that carry tables, the mark before these, and the tables as Markdown."""
    card = REPOSITORY / "weights/README.md"
    trials = json.loads((LOGS / "trials.json").read_text(encoding="utf-8"))
    photo = json.loads((LOGS / "photo-lite-crisp-x4.json").read_text(encoding="utf-8"))
    compact = read_logs(nets=COMPACT)
    return [
        (card, START, model_tables(read_logs())),
        *([(card, COMPACT_START, model_tables(compact))] if compact else []),
        (card, FAITHFUL_START, faithful_tables(json.loads((LOGS / "photo-lite-x4.json").read_text(encoding="utf-8")))),
        (card, PHOTO_START, photo_tables(photo)),
        (card, INT8_START, int8_tables(read_logs(prefix="int8-", nets=("espcn", *COMPACT)))),
        (REPOSITORY / "training/README.md", START, trial_tables(trials)),
        (REPOSITORY / "training/README.md", COMPACT_START, compact_trials(trials)),
        (REPOSITORY / "training/README.md", ROBUST_START, robust_table([*read_logs(), *compact])),
    ]


def model_tables(logs: Sequence[Log]) -> str:
    """The files, then what they reach against bicubic."""
    files = [
        (log["file"], f"{log['bytes']:,}", f"`{log['sha256']}`", log["recipe"]["seed"], f"{log['recipe']['steps']:,}",
         f"{log['seconds'] / 60:.0f}")
        for log in logs
    ]  # fmt: skip
    tables = [table(("file", "bytes", "sha256", "seed", "steps", "minutes"), files)]
    for kind, of_kind in itertools.groupby(logs, key=operator.itemgetter("kind")):
        scores = [
            (name.replace(",", f" x{log['scale']},") if "," in name else f"{name} x{log['scale']}",
             *(f"{nets[net]['psnr']:.2f} / {nets[net]['ssim']:.4f}" for net in ("bicubic", kind)),
             f"{nets[kind]['psnr'] - nets['bicubic']['psnr']:+.2f}")
            for log in of_kind
            for name, nets in log["scores"].items()
        ]  # fmt: skip
        tables.append(table(("set", "bicubic, PSNR / SSIM", f"{kind}, PSNR / SSIM", "gain in dB"), scores))
    return "\n".join(tables)


def robust_table(logs: Sequence[Log]) -> str:
    """What robust kinds gain over `YARDSTICK` on luma, dB: least and most of all sets, by what was done to LR."""
    scores = {
        (log["kind"], log["scale"]): {name: nets[log["kind"]]["psnr"] for name, nets in log["scores"].items()}
        for log in logs
    }
    rows = []
    for (kind, scale), found in scores.items():
        if not kind.endswith("-robust") or kind == YARDSTICK:
            continue
        gains: dict[str, list[float]] = {}
        for name, psnr in found.items():
            condition = name.partition(", ")[2] or "clean"
            gains.setdefault(condition, []).append(psnr - scores[YARDSTICK, scale][name])
        rows.append((f"{kind} x{scale}", *(f"{min(each):+.2f} to {max(each):+.2f}" for each in gains.values())))
    return table(("", *gains), rows)


def faithful_tables(log: Log) -> str:
    """The file of the faithful photo net, and what it reaches on damaged pictures."""
    file = (log["file"], f"{log['bytes']:,}", f"`{log['sha256']}`", log["recipe"]["seed"],
            f"{log['recipe']['steps']:,}", f"{log['seconds'] / 60:.0f}")  # fmt: skip
    shown = {"bicubic": "bicubic", "trained": "photo-lite", "begun_from": "photo-lite-crisp"}
    rows = [
        (f"Kodak24 x4, {damage}",
         *(f"{found['psnr_y']:.2f} / {found['ms_ssim']:.4f} / {found['niqe']:.2f}"
           for found in (log["Kodak24"][who][damage] for who in shown)))
        for damage in log["Kodak24"]["trained"]
    ]  # fmt: skip
    return (
        table(("file", "bytes", "sha256", "seed", "steps", "minutes"), [file])
        + "\n"
        + table(("PSNR-Y / MS-SSIM / NIQE", *shown.values()), rows)
    )


def photo_tables(log: Log) -> str:
    """The file of the photo net, and how near it comes to its teacher."""
    file = (log["file"], f"{log['bytes']:,}", f"`{log['sha256']}`", log["recipe"]["seed"],
            f"{log['recipe']['steps']:,}", f"{log['seconds'] / 60:.0f}")  # fmt: skip
    near = log["held_out"]["psnr_to_teacher"]
    taken, shift = log["seconds_for_256x256_fp32"], log["held_out"]["colour_shift"]
    rows = [
        (f"PSNR to the teacher, {log['held_out']['pictures']} pictures, dB",
         *(f"{near[name]:.2f}" for name in ("bicubic", "espcn", "student")), ""),
        ("largest shift of a channel's mean, levels of 255", "", "", shift["student"], shift["teacher"]),
        (f"seconds for 256 x 256 LR pixels, fp32, {taken['threads']} threads", "", "",
         taken["student"], taken["teacher"]),
    ]  # fmt: skip
    return (
        table(("file", "bytes", "sha256", "seed", "steps", "minutes"), [file])
        + "\n"
        + table(("", "bicubic", "espcn", "photo-lite-crisp", "teacher"), rows)
    )


def int8_tables(logs: Sequence[Log]) -> str:
    """The files in 8 bits, then what they lose against HR."""
    files = [
        (log["file"], f"{log['bytes']:,}", f"`{log['sha256']}`", log["recipe"]["exponent"], log["data"]["pictures"])
        for log in logs
    ]
    scores = [
        (log["file"].removesuffix(".onnx"), name, f"{nets['fp32']['psnr']:.2f}", f"{nets['int8']['psnr']:.2f}",
         f"{nets['int8']['psnr'] - nets['fp32']['psnr']:+.2f}")
        for log in logs
        for name, nets in log["scores"].items()
    ]  # fmt: skip
    return (
        table(("file", "bytes", "sha256", "exponent", "pictures looked at"), files)
        + "\n"
        + table(("file", "set", "PSNR in fp32", "PSNR in int8", "in dB"), scores)
    )


def trial_tables(log: Log) -> str:
    """One row per trial: what was chosen, then PSNR on luma in dB; the first recipe's, then the second's."""
    names = ("Set5", "Set14", "Kodak24")
    rows = [
        (trial["optimizer"], trial["learning_rate"], "yes" if trial["borders"] else "no", f"{trial['l1_share']:.0%}",
         " ".join(map(str, trial["shrinks"])), trial["beta2"], *(f"{trial['psnr'][name]:.2f}" for name in names),
         f"{trial['psnr_extended']['Set5']:.2f}", trial["seconds"])
        for trial in log["trials"]
    ]  # fmt: skip
    head = ("optimiser", "rate", "borders", "L1 first", "sizes", "beta2", *names, "Set5 extended", "seconds")
    sets = (*names, "B100")
    second = [
        (trial["activation"], trial["loss"], trial["learning_rate"], f"{trial['steps']:,}", trial.get("data", "all"),
         *(f"{trial['psnr'][name]:.2f}" for name in sets))
        for trial in log["second"]["trials"]
    ]  # fmt: skip
    return table(head, rows) + "\n" + table(("activation", "loss", "rate", "steps", "data", *sets), second)


def compact_trials(log: Log) -> str:
    """Trials of the narrow nets: what was tried, and PSNR before and after the learning rate fell."""
    rows = []
    for trial in log["compact"]["trials"]:
        stable = next(point for point in trial["curve"] if point["step"] == 2500)
        last = trial["curve"][-1]
        after = f"{last['Set5_psnr']:.2f} / {last['Set14_psnr']:.2f}" if last["step"] > 2500 else ""
        rows.append((
            f"1-{trial['num_feat']}-({trial['num_feat']} x {trial['num_conv']})-4", trial["width"] or "no",
            "yes" if trial["long_skip"] else "no", trial["learning_rate"], trial["data"],
            f"{stable['Set5_psnr']:.2f} / {stable['Set14_psnr']:.2f}", after, last["cpu_seconds"],
        ))  # fmt: skip
    head = ("planes", "trained wide", "long skip", "rate", "data", "2,500 steps", "and 800 of decay", "CPU seconds")
    return table(head, rows)


def registry_row(log: Log, int8: Log | None = None) -> str:
    """What upscale_cli/models/registry.py says of the file, and of the same net in 8 bits."""
    macs = log.get("macs", 64 * 5**2 + 64 * 32 * 3**2 + 32 * log["scale"] ** 2 * 3**2)
    whole = ""
    if int8 is not None:
        lost = round(int8["scores"]["B100"]["fp32"]["psnr"] - int8["scores"]["B100"]["int8"]["psnr"], 2) + 0.0
        whole = f'        int8=({int8["bytes"]:_}, {lost:.2f}, "{int8["sha256"]}"),\n'
    return f"""    _real_time(
        "{log["kind"]}", {log["scale"]}, macs={macs:_}, size={log["bytes"]:_},
        sha256="{log["sha256"]}",
{whole}    ),
"""


def registry_rows() -> str:
    """Those of all real-time nets."""
    nets = ("espcn", *COMPACT)
    in_8_bits = {(log["kind"], log["scale"]): log for log in read_logs(prefix="int8-", nets=nets)}
    logs = (log for net in nets for log in read_logs(nets=(net,)))
    return "".join(registry_row(log, in_8_bits.get((log["kind"], log["scale"]))) for log in logs)


def main() -> None:
    for path, mark, tables in pages():
        page = path.read_text(encoding="utf-8")
        path.write_text(with_tables(page, tables, mark, STOP), encoding="utf-8")
    print(registry_rows(), end="")


if __name__ == "__main__":
    main()
