"""The application in process, without a socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from qstar_server.app import create_app
from qstar_server.settings.config import ServerConfig

from qstar_infer.engine.protocol import Engine


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost")


@asynccontextmanager
async def serving(engine: Engine, config: ServerConfig) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that is ready. The engine stays open."""
    app = create_app(lambda: engine, config)
    app.state.engine_slot.start_loading()
    async with client_of(app) as client:
        while (await client.get("/health")).status_code != 200:
            await asyncio.sleep(0.001)
        yield client
