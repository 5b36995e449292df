"""Which net is exported: by what the user calls it, and for which scale; and what is known of where it comes from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from upscale_cli.errors import CheckpointError, OptionError
from upscale_cli.events import Listener, Note
from upscale_cli.export.chain_net import parts_of
from upscale_cli.export.composed import composed, joined
from upscale_cli.inference.model import Model
from upscale_cli.messages import option
from upscale_cli.models import modelspec
from upscale_cli.models.asked import asked
from upscale_cli.models.interface import Interval, LoadedNet, Scale, as_scale, scales_named
from upscale_cli.models.loading import load_net, load_spec, net_digest, stated_facts
from upscale_cli.models.mixing import interpolate
from upscale_cli.models.registry import MODELS, Spec, kernel_named, rows_of
from upscale_cli.models.resolve import checkpoint_path_reporting, obtain_reporting
from upscale_cli.models.strength import with_strength

UNKNOWN: Final = "unknown"

LONGEST_FACT: Final = 500
"""Characters of what others have written down about a net."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A net for one scale.

    Attributes:
        name: of the model, or of the checkpoint file without its ending.
        facts: what the exported file says of it: model, licence, source, weights_sha256.
    """

    name: str
    net: LoadedNet
    scale: Scale
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """For people.

        >>> Choice("espcn", LoadedNet(None, {}), 2).title
        'espcn x2'
        """
        return f"{self.name} {scales_named((self.scale,))}"


def chosen(
    given: str,
    scale: float | None,
    usual: int,
    listener: Listener,
    *,
    denoise: float = 1.0,
    strength: float | None = None,
) -> Choice:
    """The net that is meant by a name, the path of a checkpoint, or several of these.

    Args:
        scale: SR pixels per LR pixel; None: `usual`, where the model has it, else its largest.
        denoise: 0 to 1; below 1 the weights are blended with those of a second checkpoint.
        strength: 0 to 1; how much of the weights of a crisp checkpoint is mixed in.

    Raises:
        OptionError: no net, or none of that scale.
        CheckpointError: see `models.loading`.
    """
    if not 0 <= denoise <= 1:
        raise OptionError(f"{option('denoise', denoise)} is beyond 0 to 1. Choose a number between them.")
    given = with_strength(given, strength)
    if sum(len(part.names) for part in asked(given)) > 1:
        return _of_several(given, scale, usual, listener, denoise)
    path = checkpoint_path_reporting(given, listener)
    if path is not None:
        if denoise != 1:
            raise _cannot_denoise(given)
        return _of_file(path, scale, usual, listener)
    if kernel := kernel_named(given):
        raise OptionError(f"{option('model', kernel)} is no net, so there is nothing to export. Choose another.")
    rows = {spec.scale: spec for spec in rows_of(given)}
    spec = rows[int(_scale(tuple(rows), scale, usual, given))]
    net, name = load_spec(spec, obtain_reporting(spec, listener)), spec.model
    if denoise != 1:
        if spec.weak_denoise is None:
            raise _cannot_denoise(spec.model)
        (second,) = rows_of(spec.weak_denoise)
        net = interpolate(net, load_spec(second, obtain_reporting(second, listener)), denoise)
        name = f"{spec.model}-denoise-{denoise:g}"
    return Choice(name, net, spec.scale, _facts(name, net, spec.licence, _source(spec)))


def _cannot_denoise(name: str) -> OptionError:
    able = ", ".join(dict.fromkeys(spec.model for spec in MODELS if spec.weak_denoise))
    return OptionError(
        f"{option('denoise')} does not go with {name}, which has no second checkpoint to blend with. "
        f"Choose {option('model', able)}."
    )


def _of_several(given: str, scale: float | None, usual: int, listener: Listener, denoise: float) -> Choice:
    """A mix, or a chain."""
    found = composed(given, scale, usual, listener, denoise=denoise)
    known = [known_of(model, own) for model, own in found.parts]
    facts = {key: joined([one[key] for one in known]) for key in ("licence", "source")}
    digest = joined([net_digest(part) for part in parts_of(found.net)])
    return Choice(found.model.name, found.net, found.scale, {
        "model": found.model.name, **facts, "weights_sha256": digest,
    })  # fmt: skip


def known_of(model: Model, scale: Scale) -> dict[str, str]:
    """Licence and source of one part."""
    row = model.row(scale)
    if row is not None:
        return {"licence": row.licence, "source": _source(row)}
    return _stated(model.file) if model.file is not None else {"licence": UNKNOWN, "source": UNKNOWN}


def _stated(path: Path) -> dict[str, str]:
    """What stands in a file, or beside it."""
    stated = stated_facts(path)
    by_standard = modelspec.stated(stated)
    licence = stated.get("licence", stated.get("license", by_standard.get("licence")))
    return {"licence": _text(licence), "source": _text(stated.get("source")),
            "author": _text(by_standard.get("author"))}  # fmt: skip


def _of_file(path: Path, scale: float | None, usual: int, listener: Listener) -> Choice:
    if path.suffix.lower() == ".onnx":
        raise CheckpointError(f"{path}: is an ONNX file already. Use it as it is")
    net = load_net(path, say=lambda text: listener(Note(text)))
    scales = net.descriptor.scales
    if not isinstance(scales, Interval):
        wanted = _scale(scales, scale, usual, path.stem)
    else:
        wanted = as_scale(float(min(max(usual, scales.least), scales.most)) if scale is None else scale)
        if not scales.least <= wanted <= scales.most:
            raise _no_such(path.stem, scales_named(scales), scale)
    known = _stated(path)
    author = {"author": known["author"]} if known["author"] != UNKNOWN else {}
    return Choice(path.stem, net, wanted, {**_facts(path.stem, net, known["licence"], known["source"]), **author})


def _scale(scales: Sequence[Scale], wanted: float | None, usual: int, name: str) -> Scale:
    if wanted is None:
        return usual if usual in scales else max(scales)
    if as_scale(wanted) not in scales:
        raise _no_such(name, scales_named(tuple(sorted(scales))), wanted)
    return as_scale(wanted)


def _no_such(name: str, scales: str, wanted: float | None) -> OptionError:
    return OptionError(
        f"{option('scale', wanted)}: {name} is {scales} in one pass, which is what a file holds. Choose one of these."
    )


def _facts(name: str, net: LoadedNet, licence: str, source: str) -> dict[str, str]:
    return {"model": name, "licence": licence, "source": source, "weights_sha256": net_digest(net)}


def _source(spec: Spec) -> str:
    return spec.url or f"{spec.file}, which comes with upscale-cli"


def _text(fact: Any) -> str:
    """What somebody has stated, as one line."""
    if fact in (None, "", {}, []):
        return UNKNOWN
    text = fact if isinstance(fact, str) else json.dumps(fact, ensure_ascii=False)
    return " ".join(text.split())[:LONGEST_FACT]
