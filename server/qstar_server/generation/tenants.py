"""Keeps the holders of different API keys apart in the prefix cache."""

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import replace

from qstar_infer.engine.protocol import AdmittedRequest

current_tenant: ContextVar[str | None] = ContextVar("current_tenant", default=None)
"""Name of the API key of the request at work; None on a server without keys."""


def kept_apart(requests: Iterable[AdmittedRequest]) -> list[AdmittedRequest]:
    """The requests with the tenant's name in their `cache_salt`; the same without a tenant.

    Whether a prefix is cached shows in the time to the first token. So a tenant could find out what
    another has sent, if both shared prefixes.
    """
    tenant = current_tenant.get()
    return [each if tenant is None else _salted(each, tenant) for each in requests]


def _salted(admitted: AdmittedRequest, tenant: str) -> AdmittedRequest:
    salt = admitted.request.cache_salt
    own = tenant if salt is None else f"{tenant}:{salt}"
    return replace(admitted, request=replace(admitted.request, cache_salt=own))
