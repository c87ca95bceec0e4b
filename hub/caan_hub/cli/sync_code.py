"""`caan-hub sync-code`: keep the code in the published folders equal to that of the library."""

from pathlib import Path
from typing import Annotated

import typer

import caan_hf
from caan_hf.errors import CaanError
from caan_hf.utils.files import is_file, write_whole_text

PATTERN = "*_caan.py"


def sync_code(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FOLDER]...", help="Published folders. Default: all in hub/ that hold code.", show_default=False
        ),
    ] = None,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing, and exit with 1 if a folder is out of date.")
    ] = False,
) -> None:
    """Copy the model code (`*_caan.py`) of the installed library into published folders.

    The code of published folders is what `trust_remote_code=True` runs. Files that the library no longer has are
    removed.

    Examples:

        caan-hub sync-code

        caan-hub sync-code hub/caan-mine --check
    """
    found = folders or sorted({file.parent for file in Path("hub").glob(f"*/{PATTERN}")})
    if not found:
        raise CaanError("hub: no published folder. Give FOLDER.")
    for folder in found:
        if not is_file(folder / "config.json"):
            raise CaanError(f"{folder}: not a published folder, since it has no config.json. Give another FOLDER.")
    stale = {folder: changes for folder in found if (changes := _changes(folder))}
    if check and stale:
        names = "; ".join(f"{folder}: {', '.join(changes)}" for folder, changes in stale.items())
        typer.echo(f"Out of date: {names}. Run caan-hub sync-code.", err=True)
        raise typer.Exit(1)
    for folder, changes in stale.items():
        for name, text in changes.items():
            if text is None:
                (folder / name).unlink()
            else:
                write_whole_text(folder / name, text)
        typer.echo(f"{folder}: updated {', '.join(changes)}")


def _changes(folder: Path) -> dict[str, str | None]:
    """Files that differ from the library: their new text by name, None for a file that is to be removed."""
    source = Path(caan_hf.__file__).parent
    wanted, present = (
        {file.name: file.read_text(encoding="utf-8") for file in place.glob(PATTERN)} for place in (source, folder)
    )
    return {name: wanted.get(name) for name in sorted(wanted | present) if wanted.get(name) != present.get(name)}
