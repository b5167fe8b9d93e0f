"""What the API server would accept of objects that no package has a schema for.

Written from the reference of each API, and only as far as the chart uses it. A field that is not
here is refused, so that a wrong name cannot pass.
"""

from typing import Any

from jsonschema import Draft202012Validator

Schema = dict[str, Any]

_NAME: Schema = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "maxLength": 253}
_PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
_LABELS: Schema = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {"type": "string", "maxLength": 63},
}


def _object(properties: Schema, *required: str) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 1}


_SELECTOR = _object({"matchLabels": _LABELS}, "matchLabels")
_POOL = _object(
    {
        "selector": _SELECTOR,
        "targetPorts": _list(_object({"number": _PORT}, "number")) | {"maxItems": 8},
        "endpointPickerRef": _object(
            {
                "name": _NAME,
                # Required by a rule of the API, because the reference is to a Service.
                "port": _object({"number": _PORT}, "number"),
                "failureMode": {"enum": ["FailOpen", "FailClose"]},
            },
            *("name", "port"),
        ),
    },
    *("selector", "targetPorts"),
)
_ROUTE_RULE = _object(
    {
        "matches": _list(
            _object(
                {"path": _object({"type": {"const": "PathPrefix"}, "value": {"type": "string"}})}
            )
        ),
        "backendRefs": _list(
            _object({"group": _NAME, "kind": {"type": "string"}, "name": _NAME}, "name")
        ),
        "timeouts": _object({"request": {"pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"}}),
    }
)
_ROUTE = _object(
    {
        "parentRefs": _list(_object({"name": _NAME, "namespace": _NAME}, "name")),
        "rules": _list(_ROUTE_RULE) | {"maxItems": 16},
    }
)
_MONITOR = _object(
    {
        "selector": _SELECTOR,
        "endpoints": _list(
            _object(
                {
                    "port": {"type": "string"},
                    "path": {"type": "string"},
                    "interval": {"type": "string", "pattern": "^[0-9]+s$"},
                }
            )
        ),
    },
    *("selector", "endpoints"),
)

SPECS: dict[tuple[str, str], Schema] = {
    ("inference.networking.k8s.io/v1", "InferencePool"): _POOL,
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): _ROUTE,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): _MONITOR,
}
"""Schema of `spec`, by version and kind."""


def is_custom(thing: dict[str, Any]) -> bool:
    return (thing["apiVersion"], thing["kind"]) in SPECS


def validate_custom(thing: dict[str, Any]) -> None:
    """
    Raises:
        jsonschema.ValidationError: a field is wrong, unknown or missing.
    """
    spec = SPECS[thing["apiVersion"], thing["kind"]]
    metadata = _object({"name": _NAME, "labels": _LABELS}, "name")
    whole = _object({"apiVersion": {}, "kind": {}, "metadata": metadata, "spec": spec}, "spec")
    Draft202012Validator(whole).validate(thing)
