"""Pages that are made from the code when the site is built, so that they cannot fall behind it."""

from __future__ import annotations

import re
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parents[1]

#: Pages of the root that the site has under another name.
ROOT_PAGES = {"README.md": "start.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}

#: What of the code a person may build on.
PYTHON = {
    "A structure in, a label out": [
        "calculators.label",
        "calculators.labeller",
        "calculators.registry",
        "calculators.conformance",
        "calculators.pipeline",
    ],
    "Which composition next": [
        "agent.hosts",
        "agent.composition",
        "agent.acquisition",
        "agent.acquisition_config",
        "agent.standing",
        "agent.learner",
    ],
    "The ledger": ["agent.ledger", "agent.schema"],
    "Models": ["models.ensemble", "models.crystal", "models.stores", "models.calibration"],
    "A campaign as data": ["flows.config", "flows.view"],
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those that lie in docs/."""
    made = {
        "reference/configuration.md": configuration(),
        "reference/command-line.md": command_line(),
        "reference/python.md": python(),
    }
    made |= {page: (ROOT / name).read_text(encoding="utf-8") for name, page in ROOT_PAGES.items()}
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links that are right in the repository, made right in the site."""
    up = "../" * page.file.src_uri.count("/")
    for name, target in ROOT_PAGES.items():
        markdown = re.sub(rf"\]\((\.\./)*{re.escape(name)}(#[^)]*)?\)", rf"]({up}{target}\2)", markdown)
    if page.file.src_uri in ROOT_PAGES.values():
        markdown = markdown.replace("](docs/", "](").replace('src="docs/', 'src="')
    # What lies outside docs/ (code, examples) has no page here: its name stays, the link goes.
    return re.sub(
        r"(?<!!)\[([^\]\n]+)\]\((?:\.\./)*(?:LICENSE|CITATION\.cff|(?:examples|agent|tests)/[^)]*)\)", r"\1", markdown
    )


# --- configuration ---------------------------------------------------------------------------------------------


def configuration() -> str:
    """Every field of every section of a campaign's file, from the pydantic models that check it."""
    from flows.config import Config

    parts = [
        "# Configuration",
        "One file, TOML or YAML, describes a campaign. `ionloop init` writes it with every field at its default. "
        "Whatever is not known is refused with what is allowed. What may change between two runs of one campaign "
        "stands in [Reliability](../reliability.md).",
    ]
    for name, field in Config.model_fields.items():
        model = field.annotation
        assert isinstance(model, type), name
        parts += [f"## [{name}]", first_paragraph(model), table(model)]
        for key, part in model.model_fields.items():
            for choice in choices(part.annotation):
                parts += [f"### {name}.{key}: `{tag(choice)}`", first_paragraph(choice), table(choice)]
    return "\n\n".join(parts) + "\n"


def choices(annotation: Any) -> list[type[BaseModel]]:
    """The models that a field may hold, each told by a tag ("kind" or "name") that stands in it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation] if tag(annotation) else []
    return [model for part in get_args(annotation) for model in choices(part)]


def tag(model: type[BaseModel]) -> str:
    """`kind = "equimolar"`, if the model has such a field."""
    for key, field in model.model_fields.items():
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
            return f'{key} = "{get_args(field.annotation)[0]}"'
    return ""


def table(model: type[BaseModel]) -> str:
    rows = ["| Field | Type | Default | Meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        meaning = " ".join((field.description or "").split())
        cells = (f"`{name}`", kind(field.annotation) + limits(field), default(field), meaning)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def first_paragraph(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def kind(annotation: Any) -> str:
    """A type in a person's words: "integer", "list of text", "one of `a`, `b`"."""
    names = {int: "integer", float: "number", str: "text", bool: "true or false", Path: "path", type(None): "nothing"}
    if annotation in names:
        return names[annotation]
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in inside)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(kind(part) for part in inside if part is not type(None)))
    if origin in (list, tuple, set, frozenset):
        return f"list of {kind(inside[0])}" if inside else "list"
    if origin is dict:
        return "table"
    if hasattr(annotation, "__metadata__"):
        return kind(annotation.__origin__)
    return "table" if isinstance(annotation, type) and issubclass(annotation, BaseModel) else str(annotation)


def limits(field: FieldInfo) -> str:
    words = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [f"{words[key]} {getattr(part, key):g}" for part in field.metadata for key in words if hasattr(part, key)]
    return f" ({', '.join(found)})" if found else ""


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "–"
    value = TypeAdapter(Any).dump_python(value, mode="json")
    text = str(value) if isinstance(value, Path) else repr(value)
    return f"`{text}`" if len(text) < 120 else f"`{text[:110]} ...`"


# --- command line and Python -----------------------------------------------------------------------------------


def command_line() -> str:
    """What Typer writes about the commands."""
    import click
    import typer
    from typer.cli import get_docs_for_click

    from flows.cli import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=click.Context(command, info_name="ionloop"), name="ionloop")
    return re.sub(r"\A# .*\n", "# Command line\n", text)


def python() -> str:
    parts = ["# Python", "The parts of ionloop that are meant to be built on; units stand in the names."]
    for title, modules in PYTHON.items():
        parts.append(f"## {title}")
        parts += [f"::: {module}\n    options:\n      heading_level: 3" for module in modules]
    return "\n\n".join(parts) + "\n"
