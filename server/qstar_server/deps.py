"""Dependencies of the routes, declared once: a route's signature names what it needs."""

from typing import Annotated, cast

from fastapi import Depends, Request

from qstar_infer.engine.protocol import Engine
from qstar_server.engine_slot import EngineSlot
from qstar_server.extras import UnknownFields
from qstar_server.settings import Settings


def _settings(request: Request) -> Settings:
    return cast(Settings, request.app.state.settings)


def _unknown_fields(request: Request) -> UnknownFields:
    return cast(UnknownFields, request.app.state.unknown_fields)


def _ready_engine(request: Request) -> Engine:
    return cast(EngineSlot, request.app.state.engine_slot).require()


SettingsDep = Annotated[Settings, Depends(_settings)]
"""The settings the application was built with."""
UnknownFieldsDep = Annotated[UnknownFields, Depends(_unknown_fields)]
"""The log of request fields nobody knows."""
EngineDep = Annotated[Engine, Depends(_ready_engine)]
"""The engine; a 503 while there is none."""
