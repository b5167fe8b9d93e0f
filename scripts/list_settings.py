"""List all settings of `qstar serve` as Markdown tables, read from their declarations.

.venv/bin/python -m scripts.list_settings           # print them
.venv/bin/python -m scripts.list_settings --write   # put them into docs/operation.md, and their
                                                    # names into the schema of the Helm chart
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from qstar_server.settings.config import ServerConfig
from qstar_server.settings.settings import WITHOUT_OPTION, default_text, flag_of, help_of

from qstar_infer.engine_args import EngineArgs, setting_help, setting_types

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "operation.md"
CHART_SCHEMA = ROOT / "kubernetes" / "chart" / "values.schema.json"
NOT_IN_CHART = ("port", "api_key", "api_keys", "api_key_file")
"""What the chart sets itself."""
BLOCK = re.compile(r"(<!-- (server|engine) settings -->\n).*?(<!-- end -->\n)", re.DOTALL)


def main() -> None:
    """Print the tables, or write the settings to where they are listed."""
    if "--write" in sys.argv[1:]:
        PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        schema = CHART_SCHEMA.read_text(encoding="utf-8")
        CHART_SCHEMA.write_text(with_chart_settings(schema), encoding="utf-8")
    else:
        sys.stdout.write(server_table() + "\n" + engine_table())


def updated(page: str) -> str:
    """The page with the tables of today's code."""
    tables = {"server": server_table(), "engine": engine_table()}
    return BLOCK.sub(lambda found: f"{found[1]}\n{tables[found[2]]}\n{found[3]}", page)


def with_chart_settings(schema: str) -> str:
    """The chart's schema with the names of today's settings, so that Helm refuses others."""
    values = json.loads(schema)
    names = {*ServerConfig.model_fields, *setting_types()} - set(NOT_IN_CHART)
    values["properties"]["settings"]["propertyNames"] = {"enum": sorted(names)}
    return json.dumps(values, indent=2) + "\n"


def server_table() -> str:
    """The settings of `ServerConfig`."""
    return _table(
        (
            name,
            "" if name in WITHOUT_OPTION else flag_of(name),
            default_text(field),
            help_of(field),
        )
        for name, field in ServerConfig.model_fields.items()
    )


def engine_table() -> str:
    """The settings of `EngineArgs`."""
    defaults = EngineArgs().settings()
    return _table(
        (
            name,
            "--" + name.replace("_", "-"),
            "" if defaults[name] is None else str(defaults[name]),
            setting_help(name),
        )
        for name in setting_types()
    )


def _table(rows: Iterable[tuple[str, str, str, str]]) -> str:
    lines = ["| setting | option | default | meaning |", "|---|---|---|---|"]
    for name, flag, default, meaning in rows:
        option = f"`{flag}`" if flag else "-"
        text = meaning.replace("|", "\\|")
        lines.append(f"| `{name}` | {option} | {default or '-'} | {text} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
