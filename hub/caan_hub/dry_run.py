"""Write the folder of a repository to disk instead of pushing it, without overwriting manual changes."""

from collections.abc import Callable
from pathlib import Path

from caan_hf.errors import CaanError
from caan_hf.utils.files import sha256_of, staged_folder
from caan_hf.utils.records import Record

from .publish import files_of

MARK_FILE = ".caan-hub.json"


class DryRunMark(Record):
    """The file `.caan-hub.json` in a folder that `--dry-run` wrote.

    Attributes:
        repo_id: Repository that the folder was written for.
        files: SHA-256 of each file as it was written, by path.
    """

    repo_id: str
    files: dict[str, str]


def write_dry_run(build: Callable[[Path], list[str]], out: Path, repo_id: str) -> list[str]:
    """Write a repository folder; replace one of an earlier dry run unless its files were changed.

    Args:
        build: Fills an empty folder and returns notes for the user.
        out: The folder to be written. It appears complete or not at all.
        repo_id: Repository that the folder is written for.

    Returns:
        The notes of `build`.

    Raises:
        CaanError: `out` holds other files, was changed after a dry run, or cannot be written.
    """
    _require_unchanged(out)
    with staged_folder(out, MARK_FILE, overwrite=True) as folder:
        try:
            notes = build(folder)
        except CaanError as error:  # it may name the temporary folder, which the user does not know
            raise CaanError(str(error).replace(str(folder), str(out))) from error
        DryRunMark(repo_id=repo_id, files=_hashes(folder)).write(folder / MARK_FILE)
    return notes


def _require_unchanged(out: Path) -> None:
    if not (out / MARK_FILE).is_file():
        return  # `staged_folder` refuses a folder that holds other files
    remedy = f"Choose another folder with --out, or remove {out}."
    written = DryRunMark.read(out / MARK_FILE, remedy).files
    hidden = sorted(path.name for path in out.rglob(".*") if path != out / MARK_FILE)
    if hidden:
        raise CaanError(f"{out}: holds {hidden[0]}, which would be lost. {remedy}")
    changed = [path for path, sha256 in _hashes(out).items() if written.get(path) != sha256]
    if changed:
        raise CaanError(f"{out}: {changed[0]} was changed after --dry-run wrote it and would be lost. {remedy}")


def _hashes(folder: Path) -> dict[str, str]:
    return {path: sha256_of(file) for path, file in files_of(folder).items()}
