"""Every command on the pages and in the recipes exists, with the options that it is given."""

import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        *(page for page in ROOT.glob("*.md") if page.name != "CHANGELOG.md"),  # which also names removed commands
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("demo/**/*.md"),
        *ROOT.glob("recipes/**/*.yaml"),
        *ROOT.glob("examples/*.py"),
    ]
)
APPS = {"caan": "caan_hf.cli.main", "caan-demo": "caan_demo.cli", "caan-export": "caan_export.cli.main"}
APPS["caan-hub"] = "caan_hub.cli.main"
COMMAND = re.compile(r"(?:^|`|# +)((?:caan|caan-demo|caan-export|caan-hub) (?!=)[^`#\n]+)", flags=re.MULTILINE)


@cache
def app(program: str):
    return typer.main.get_command(import_module(APPS[program]).app)


def commands(page: Path) -> list[str]:
    """Commands in code blocks and in inline code, with continued lines joined."""
    text = re.sub(r"\\\n[# ]*", " ", page.read_text(encoding="utf-8"))
    return [" ".join(found.split()) for found in COMMAND.findall(text)]


def problem(command: str) -> str | None:
    program, *words = command.split()
    found = app(program)
    if hasattr(found, "commands"):
        if words[0] not in found.commands:
            return f"{program} has no command {words[0]}"
        found = found.commands[words[0]]
    known = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = {word for word in words if re.match(r"--?[a-z]", word)} - known
    return f"unknown options {sorted(unknown)}" if unknown else None


def test_the_readme_contains_commands():
    assert len(commands(ROOT / "README.md")) >= 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_and_options_exist(page):
    wrong = {command: reason for command in commands(page) if (reason := problem(command))}
    assert not wrong
