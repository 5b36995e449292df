"""The nets, one file each, and the table of them: an architecture is one file and one line here."""

from typing import Final

ARCHS: Final[dict[str, str]] = {
    "rrdbnet": "upscale_cli.models.archs.rrdbnet:ARCH",
    "srvgg": "upscale_cli.models.archs.srvgg:ARCH",
    "espcn": "upscale_cli.models.archs.espcn:ARCH",
    "amcanet": "upscale_cli.models.archs.amcanet:ARCH",
    "bsrn": "upscale_cli.models.archs.bsrn:ARCH",
    "bsrn-s": "upscale_cli.models.archs.bsrn:ARCH_SMALL",
    "carn": "upscale_cli.models.archs.carn:ARCH",
    "disp": "upscale_cli.models.archs.disp:ARCH",
    "dscf": "upscale_cli.models.archs.dscf:ARCH",
    "fsrcnn": "upscale_cli.models.archs.fsrcnn:ARCH",
    "haesr": "upscale_cli.models.archs.haesr:ARCH",
    "imdn": "upscale_cli.models.archs.imdn:ARCH",
    "imdn-rtc": "upscale_cli.models.archs.imdn:ARCH_RTC",
    "lapsrn": "upscale_cli.models.archs.lapsrn:ARCH",
    "meta-sr": "upscale_cli.models.archs.metasr:ARCH",
    "pds": "upscale_cli.models.archs.pds:ARCH",
    "pisr": "upscale_cli.models.archs.pisr:ARCH",
    "realcugan": "upscale_cli.models.archs.realcugan:ARCH",
    "rfdn": "upscale_cli.models.archs.rfdn:ARCH",
    "san": "upscale_cli.models.archs.san:ARCH",
    "span": "upscale_cli.models.archs.span:ARCH",
    "spanv2": "upscale_cli.models.archs.spanv2:ARCH",
    "srcnn": "upscale_cli.models.archs.srcnn:ARCH",
    "srmd": "upscale_cli.models.archs.srmd:ARCH",
    "udvd": "upscale_cli.models.archs.udvd:ARCH",
    "usrnet": "upscale_cli.models.archs.usrnet:ARCH",
    "vdsr": "upscale_cli.models.archs.vdsr:ARCH",
    "vscinet": "upscale_cli.models.archs.vscinet:ARCH",
    "zenosr": "upscale_cli.models.archs.zenosr:ARCH",
}
"""Where the `Architecture` of that name is; in the order a checkpoint of unknown kind is tried on them."""
