"""What routes get: the service that the application was made for."""

from typing import Annotated

from fastapi import Depends, Path, Request

from upscale_cli.service.service import Service


async def service_of(request: Request) -> Service:
    """What is no coroutine FastAPI runs in a thread, which costs a request more than all that is asked here."""
    service: Service = request.app.state.service
    return service


Here = Annotated[Service, Depends(service_of)]

JobId = Annotated[str, Path(description="Of a job, as `POST /api/jobs` gave it.", max_length=64)]
