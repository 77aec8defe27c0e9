"""The commented example configuration, written from the models that check it, so that the two cannot part."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from flows.config import Config

HEAD = """\
# A campaign of ionloop. Every field is here with its default; a line that starts with "#" is off.
# Run it with `ionloop run FILE`; see what it would search with `ionloop space FILE`.
"""

#: Fields without a default, and what the example gives them.
GIVEN: dict[str, Any] = {"campaign.name": "my-campaign"}
WIDTH = 110


def example_config() -> str:
    """TOML text of a configuration in which every field stands with its description."""
    parts = [HEAD]
    for name, field in Config.model_fields.items():
        section = field.annotation
        assert isinstance(section, type)
        assert issubclass(section, BaseModel)
        title = textwrap.wrap((section.__doc__ or "").strip().splitlines()[0], WIDTH)
        parts.append("\n".join([f"[{name}]", *(f"# {line}" for line in title)]))
        parts.extend(_field(f"{name}.{key}", key, entry) for key, entry in section.model_fields.items())
    return "\n\n".join(parts) + "\n"


def _field(path: str, key: str, field: Any) -> str:
    default = GIVEN.get(path, field.get_default(call_default_factory=True))
    comment = [f"# {line}" for line in textwrap.wrap(field.description or "", WIDTH)]
    if default is PydanticUndefined or default is None:
        return "\n".join([*comment, f"# {key} ="])
    return "\n".join([*comment, f"{key} = {literal(plain(default))}"])


def plain(value: Any) -> Any:
    """A default as TOML can hold it; None is left out of tables."""
    if isinstance(value, BaseModel):
        return {key: plain(part) for key, part in value if part is not None}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items() if part is not None}
    return value if isinstance(value, bool | int | float | str) else str(value)


def literal(value: Any) -> str:
    """A TOML literal: what JSON and TOML have in common, and inline tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {literal(part)}" for key, part in value.items()) + " }" if value else "{}"
    if isinstance(value, list):
        parts = [literal(part) for part in value]
        line = f"[{', '.join(parts)}]"
        if len(line) < WIDTH:
            return line
        rows = parts if isinstance(value[0], dict) else textwrap.wrap(", ".join(parts), WIDTH)
        return "[\n" + "".join(f"    {row.removesuffix(',')},\n" for row in rows) + "]"
    return json.dumps(value, ensure_ascii=False)
