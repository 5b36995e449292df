"""Part of a net in fp32, where OpenVINO computes the rest in bfloat16.

OpenVINO has no call for that. What it heeds is an attribute of a node in its own file format, IR, which it otherwise
gives to nodes by itself: `DisablePrecisionConversion`, of "dynamic:f16" for its bfloat16, too (version 2026.4.1;
"dynamic:bf16" does nothing). A version that does not know it computes all in bfloat16: slower it never gets.

To mark a net takes longer than to run a small picture through it, so that what was marked is kept beside its graph.

https://docs.openvino.ai/2026/documentation/openvino-ir-format.html
"""

import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from upscale_cli.inference.backends import libraries
from upscale_cli.models import known
from upscale_cli.models.interface import LoadedNet, Sensitive

ATTRIBUTE: Final = {"name": "DisablePrecisionConversion", "version": "0", "value": "dynamic:f16"}


def mixed_model(core: Any, net: LoadedNet, version: str, read: Callable[[], Any]) -> Any:
    """A net as a model of openvino's that computes its sensitive parts in fp32, whatever it is told to compute in.

    Args:
        core: openvino's.
        version: of it.
        read: gives the model as it is.
    """
    xml, weights = (known.fact(net, f"openvino-{version}-mixed.{kind}") for kind in ("xml", "bin"))
    if xml is None or weights is None:
        xml, weights = marked(read(), net.descriptor.sensitive)
        for kind, data in (("xml", xml), ("bin", weights)):
            known.keep(net, f"openvino-{version}-mixed.{kind}", data)
    return core.read_model(xml, weights)


def marked(model: Any, parts: Collection[Sensitive]) -> tuple[bytes, bytes]:
    """A model in OpenVINO's format, XML and constants, which is to compute those parts in fp32."""
    openvino = libraries.openvino()
    names = _names(model, parts)
    with tempfile.TemporaryDirectory(prefix="upscale-") as folder:
        xml, weights = Path(folder) / "net.xml", Path(folder) / "net.bin"
        openvino.serialize(model, str(xml), str(weights))
        tree = ElementTree.parse(xml)
        constants = weights.read_bytes()  # not mapped: the file goes at once
    for layer in tree.iter("layer"):
        if layer.get("name") in names:
            _mark(layer)
    xml_marked: bytes = ElementTree.tostring(tree.getroot())
    return xml_marked, constants


def _names(model: Any, parts: Collection[Sensitive]) -> set[str]:
    """Of the nodes that belong to those parts."""
    nodes = model.get_ordered_ops()
    convolutions = [node.get_friendly_name() for node in nodes if node.get_type_name() == "Convolution"]
    found = set[str]()
    if "first" in parts:
        found.update(convolutions[:1])
    if "last" in parts:
        found.update(convolutions[-1:])
    if "sums" in parts:
        found.update(node.get_friendly_name() for node in nodes if node.get_type_name() == "Add")
    return found


def _mark(layer: ElementTree.Element) -> None:
    """The attribute stands behind `data`, if there is any, before the ports."""
    info = layer.find("rt_info")
    if info is None:
        info = ElementTree.Element("rt_info")
        layer.insert(0 if layer.find("data") is None else 1, info)
    ElementTree.SubElement(info, "attribute", ATTRIBUTE)
