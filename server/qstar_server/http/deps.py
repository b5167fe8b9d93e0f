"""Dependencies of the routes, declared once, so that a route's signature lists what it needs.

They are coroutines: FastAPI calls other functions on threads, which may all be at work.
"""

from typing import Annotated, cast

from fastapi import Depends, Request

from qstar_infer.engine.protocol import Engine
from qstar_server.generation.unsupported_fields import IgnoredFieldLog
from qstar_server.process.engine_slot import EngineSlot
from qstar_server.settings.config import ServerConfig


async def _config(request: Request) -> ServerConfig:
    return cast(ServerConfig, request.app.state.config)


async def _ignored_field_log(request: Request) -> IgnoredFieldLog:
    return cast(IgnoredFieldLog, request.app.state.ignored_field_log)


async def _ready_engine(request: Request) -> Engine:
    return cast(EngineSlot, request.app.state.engine_slot).ready_engine()


ConfigDep = Annotated[ServerConfig, Depends(_config)]
"""The configuration that the application was created with."""
IgnoredFieldLogDep = Annotated[IgnoredFieldLog, Depends(_ignored_field_log)]
"""The log of unknown request fields."""
EngineDep = Annotated[Engine, Depends(_ready_engine)]
"""The engine; 503 if it cannot take requests."""
