"""The tools, served by the Model Context Protocol's own SDK; the only file that knows it.

    a call  ->  Checked.run (arguments, errors)  ->  a method of Tools, in a thread  ->  structured content, thumbnails
                                                     its events  ->  progress notifications

Specification: https://modelcontextprotocol.io/specification
"""

import base64
import contextlib
import dataclasses
import functools
import inspect
import os
import sys
from collections.abc import Callable, Set
from typing import Annotated, Any, Final, get_args

import anyio
import anyio.lowlevel
import anyio.to_thread
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, ContentBlock, ImageContent, TextContent, ToolAnnotations
from pydantic import ValidationError
from pydantic_core import to_json

from upscale_cli._version import __version__
from upscale_cli.assistant.allowed import Allowed
from upscale_cli.assistant.arguments import in_arguments
from upscale_cli.assistant.results import Answer
from upscale_cli.assistant.running import Running
from upscale_cli.assistant.tools import Tools
from upscale_cli.errors import UpscaleError, printable
from upscale_cli.events import encodable

INTERVAL_SECONDS: Final = 0.25
"""Between two notifications of progress; what happens in between is not told."""

INSTRUCTIONS: Final = (
    "Upscales photos and clips on this machine. Look at list_models and plan first: large results can take hours on a "
    "CPU. Paths are absolute, or count from the first allowed folder; nothing outside of the allowed folders is read "
    "or written. Outputs that exist are replaced only with overwrite."
)

READS: Final = ToolAnnotations(read_only_hint=True, open_world_hint=False)
WRITES: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)

Work = Callable[..., Answer[Any]]
"""A method of `Tools`: a `Running`, and what the assistant gives."""


def make_server(allowed: Allowed) -> MCPServer[Any]:
    """The server, ready to be run on any transport.

    Args:
        allowed: what may be read and written.
    """
    tools, turn = Tools(allowed), anyio.Lock()
    methods = (
        (tools.list_models, "List models", READS, None),
        (tools.plan, "Plan", READS, None),
        (tools.upscale, "Upscale", WRITES, turn),
        (tools.compare, "Compare", WRITES, turn),
        (tools.evaluate, "Evaluate models", READS, turn),
    )
    known = {name for method, *_ in methods for name in inspect.signature(method).parameters} - {"running"}
    made = [_tool(method, title, hints, turn, known) for method, title, hints, turn in methods]
    return MCPServer(
        "upscale", title="upscale-cli", version=__version__, instructions=INSTRUCTIONS, tools=list(made),
        log_level="WARNING",
    )  # fmt: skip


def serve(allowed: Allowed) -> None:
    """Serves one client on standard input and output, until it leaves.

    Nothing but the protocol reaches standard output: what libraries and other programs print there goes to standard
    error, while the server runs (the SDK sees to that) and afterwards.
    """
    try:
        make_server(allowed).run("stdio")
    finally:
        # In this order: the SDK has given the stream back, and what was printed meanwhile may still wait in its buffer.
        os.dup2(sys.stderr.fileno(), sys.__stdout__.fileno() if sys.__stdout__ is not None else 1)
        sys.stdout.flush()


class Checked(Tool):
    """A tool that answers a mistake in one clear line, without the SDK's words around it."""

    known: frozenset[str] = frozenset()
    """Names of the arguments of all tools."""

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        """
        Raises:
            ToolError: the line.
        """
        unknown = sorted(arguments.keys() - self.parameters["properties"].keys())
        if unknown:
            takes = ", ".join(self.parameters["properties"])
            raise ToolError(f"{printable(unknown[0])}: {self.name} has no such argument. It takes {takes}.")
        try:
            return await super().run(arguments, context, convert_result)
        except ToolError as error:
            raise ToolError(_line(error.__cause__, self.known)) from error.__cause__


def _line(cause: BaseException | None, known: Set[str]) -> str:
    """What went wrong, for an assistant."""
    if isinstance(cause, UpscaleError):
        return in_arguments(cause.message, known)
    if isinstance(cause, ValidationError):
        first = cause.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        value = "" if first["type"] == "missing" else f": {printable(repr(first['input']))[:80]}"
        return f"{name}{value}: {first['msg'][:1].lower()}{first['msg'][1:]}."
    return f"a bug of ours ({type(cause).__name__}: {printable(str(cause))}). Please report it."


def _tool(work: Work, title: str, hints: ToolAnnotations, turn: anyio.Lock | None, known: Set[str]) -> Checked:
    """A method of `Tools` as a tool of the SDK.

    Args:
        turn: what has to be had meanwhile, for each such call takes all of the machine; None of one that only looks.
    """
    signature = inspect.signature(work, eval_str=True)
    takes = [parameter for name, parameter in signature.parameters.items() if name != "running"]
    (facts,) = get_args(signature.return_annotation)

    async def call(context: Context[Any, Any], **arguments: Any) -> CallToolResult:
        async with turn or contextlib.nullcontext():
            answer = await _run(functools.partial(work, **arguments), context)
        return _as_result(answer)

    call.__name__, call.__doc__ = work.__name__, inspect.getdoc(work)
    asked = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Context[Any, Any])
    returns = Annotated[CallToolResult, facts]
    call.__signature__ = signature.replace(parameters=[asked, *takes], return_annotation=returns)  # type: ignore[attr-defined]
    tool = Checked.from_function(call, title=title, annotations=hints, context_kwarg="context")
    assert isinstance(tool, Checked)
    tool.known, tool.parameters["additionalProperties"] = frozenset(known), False
    return tool


async def _run(work: Callable[[Running], Answer[Any]], context: "Context[Any, Any]") -> Answer[Any]:
    """Runs a tool in a thread, reports how far it is, and ends it where the call is cancelled. The thread is waited
    for, so that nothing of it is left when this returns.

    Raises:
        Exception: what the tool raises.
    """
    running, answers, failures = Running(), list[Answer[Any]](), list[Exception]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_report, running, context)
        try:
            answers.append(await anyio.to_thread.run_sync(work, running))
        except Exception as error:  # else the group would wrap it
            failures.append(error)
        tasks.cancel_scope.cancel()
    await anyio.lowlevel.checkpoint()
    if failures:
        raise failures[0]
    return answers[0]


async def _report(running: Running, context: "Context[Any, Any]") -> None:
    """Progress, as long as nobody cancels it."""
    reported = running.step
    try:
        while True:
            await anyio.sleep(INTERVAL_SECONDS)
            step = running.step
            if step.share > reported.share:
                reported = step
                await context.report_progress(step.share, 1.0, in_arguments(step.text, frozenset()))
    finally:
        running.stop()


def _as_result(answer: Answer[Any]) -> CallToolResult:
    """Facts as structured content, and as text for those who read no other; pictures as such."""
    facts = encodable(dataclasses.asdict(answer.facts))
    content: list[ContentBlock] = [TextContent(type="text", text=to_json(facts, indent=1).decode())]
    for one in answer.pictures:
        content.append(ImageContent(type="image", data=base64.b64encode(one.data).decode(), mime_type=one.mime))
    return CallToolResult(content=content, structured_content=facts)
