"""The folder of a label: plain files that ASE and people can read, each replaced whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms
from pydantic import BaseModel, ValidationError

from calculators.label import Label

LABEL_FILE = "label.json"


def write_text(path: Path, text: str) -> None:
    """Write by atomic rename: a reader sees the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: BaseModel | dict[str, Any]) -> None:
    text = content.model_dump_json(indent=1) if isinstance(content, BaseModel) else json.dumps(content, indent=1)
    write_text(path, text + "\n")


def write_label(folder: Path, label: Label) -> None:
    """Write label.json: the summary's plain fields first, then the whole label."""
    write_json(folder / LABEL_FILE, label.summary() | label.model_dump(mode="json"))


def write_images(path: Path, images: list[Atoms] | Atoms, format: str = "extxyz") -> None:
    """Write structures with whatever energies and forces they carry, by atomic rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        ase.io.write(temporary, images, format=format)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_images(path: Path) -> list[Atoms] | None:
    """All frames of an extended XYZ file, or None if it is not there or not whole."""
    if not path.is_file():
        return None
    try:
        return list(ase.io.iread(path, index=":", format="extxyz"))
    except (ValueError, KeyError, IndexError, OSError, RuntimeError):  # ASE's generator stops with a RuntimeError
        return None


def read_label(folder: Path, key: str | None = None) -> Label | None:
    """The label in this folder, if there is a readable one (and, if a key is given, with that key)."""
    try:
        label = Label.model_validate_json((folder / LABEL_FILE).read_text())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    return label if key is None or label.key == key else None


def set_failed_aside(folder: Path) -> None:
    """Keep the record of an earlier failed attempt as failed-1.json, failed-2.json, ..."""
    path = folder / LABEL_FILE
    if not path.exists():
        return
    number = 1 + sum(1 for _ in folder.glob("failed-*.json"))
    path.replace(folder / f"failed-{number}.json")
