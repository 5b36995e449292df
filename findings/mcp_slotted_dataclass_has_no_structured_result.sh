#!/usr/bin/env bash
# mcp: a tool that returns a dataclass with slots has neither an output schema nor structured content.
#
# Seen with mcp 2.3.0 (pydantic 2.14.4, Python 3.11, Linux x86_64). A tool's return type becomes its output schema, and
# its value comes back as structured content beside the text. For a dataclass the SDK makes a model by asking the class
# for the default of each field with getattr; in a class with slots that finds the slot's descriptor, which is taken for
# a default, cannot be written as JSON, and so the schema is given up. There is one line in the log, at level INFO; the
# tool works, and a client that reads structured content gets None. `slots=True` is all the difference.
#
# Output when it was seen:
#   plain: schema yes, structured {'width': 3, 'height': 4}
#   slotted: schema no, structured None
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet mcp==2.3.0 pydantic==2.14.4
cd "$folder"
cat > sizes.py <<'PYTHON'
import asyncio
import logging
from dataclasses import dataclass

from mcp import Client
from mcp.server import MCPServer

logging.disable(logging.INFO)


@dataclass
class Plain:
    width: int
    height: int


@dataclass(slots=True)
class Slotted:
    width: int
    height: int


server = MCPServer("sizes")


@server.tool()
def plain() -> Plain:
    return Plain(3, 4)


@server.tool()
def slotted() -> Slotted:
    return Slotted(3, 4)


async def main():
    found = {}
    async with Client(server) as client:
        for tool in (await client.list_tools()).tools:
            result = await client.call_tool(tool.name, {})
            found[tool.name] = (tool.output_schema is not None, result.structured_content)
            schema = "yes" if found[tool.name][0] else "no"
            print(f"{tool.name}: schema {schema}, structured {found[tool.name][1]}")
    assert found == {"plain": (True, {"width": 3, "height": 4}), "slotted": (False, None)}, found


asyncio.run(main())
PYTHON
venv/bin/python sizes.py
echo "as it was seen"
