"""What the three subcommands do alike: build a folder, show it, and push it or keep it."""

import hashlib
import json
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape

from caan_hf.errors import CaanError
from caan_hub.mark import MARK

if TYPE_CHECKING:
    from caan_hub.publish import Change, Target


def check_repo_id(repo_id: str) -> None:
    """Refuses what cannot be a repository, before anything else is done.

    Raises:
        CaanError: it is not of the form OWNER/NAME.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise CaanError(f"{repo_id!r} is not the name of a repository: {str(error).partition(chr(10))[0]}") from None
    if "/" not in repo_id:
        raise CaanError(f"{repo_id!r} lacks its owner: give OWNER/NAME, such as {repo_id!r} under your user name")


def push_built(
    build: Callable[[Path], list[str] | None],
    target: "Target",
    *,
    is_ours: Callable[[str], bool],
    message: str | None,
    dry_run: bool,
    out: Path | None,
) -> None:
    """Let `build` fill a folder, then push it; with `dry_run`, keep it and send nothing.

    Args:
        build: fills an empty folder, and gives what the user should know.
        target: where it goes.
        is_ours: see `publish`.
        message: of the commit; by default one that names the package.
        dry_run: write `out` and list it.
        out: by default the repository's name, in the working directory.
    """
    from caan_hub.publish import files_of, publish, require_login

    console = Console(highlight=False, soft_wrap=True)
    if dry_run:
        out = out or Path(target.repo_id.rpartition("/")[2])
        _write_out(build, out, target.repo_id, console)
        _list(files_of(out), console)
        console.print(f"dry run: {escape(str(out))} holds what {target.repo_id} would hold; nothing was sent")
        return
    if out is not None:
        raise CaanError("--out is where --dry-run writes: give both, or neither")
    require_login()
    with TemporaryDirectory(prefix="caan-hub-") as temporary:
        folder = Path(temporary)
        _build(build, folder, console)
        change = publish(folder, target, message=message or f"Push with caan-hf {version('caan-hf')}", is_ours=is_ours)
        _report(change, target, files_of(folder), console)


def _build(build: Callable[[Path], list[str] | None], folder: Path, console: Console) -> None:
    try:
        notes = build(folder) or []
    except OSError as error:
        raise CaanError(f"{folder} cannot be written: {error}") from error
    for note in notes:
        console.print(f"[yellow]note:[/] {escape(note)}")


def _write_out(build: Callable[[Path], list[str] | None], out: Path, repo_id: str, console: Console) -> None:
    """Puts the folder in place when it is whole; takes that of an earlier dry run away, and nothing else."""
    _require_free(out)
    partial, previous = (out.absolute().with_name(f".{out.name}.{state}") for state in ("partial", "previous"))
    try:
        for left_over in (partial, previous):  # by a kill
            shutil.rmtree(left_over, ignore_errors=True)
        partial.mkdir(parents=True)
        _build(build, partial, console)
        mark = {"repo_id": repo_id, "files": _fingerprints(partial)}
        (partial / MARK).write_text(json.dumps(mark, indent=2) + "\n", encoding="utf-8")
        _swap(partial, out, previous)
    except OSError as error:
        raise CaanError(f"{out} cannot be written: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _require_free(out: Path) -> None:
    """Refuses to write over what somebody else put there, or changed since.

    Raises:
        CaanError: there is such a thing; the message names a file.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        written = dict(json.loads((out / MARK).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, LookupError, TypeError):
        raise CaanError(f"{out} exists and is not from a --dry-run: choose another --out, or remove it") from None
    hidden = sorted(path.name for path in out.rglob(".*") if path != out / MARK)
    if hidden:
        raise CaanError(f"{out} holds {hidden[0]}, which would be lost: choose another --out, or move it away")
    found = _fingerprints(out)
    changed = [path for path in found if written.get(path) != found[path]]
    if changed:
        raise CaanError(
            f"{out} was changed since --dry-run wrote it ({changed[0]}), which would be lost: choose another --out, or "
            "remove it"
        )


def _fingerprints(folder: Path) -> dict[str, str]:
    from caan_hub.publish import digest, files_of

    return {path: digest(hashlib.sha256(), file) for path, file in files_of(folder).items()}


def _swap(partial: Path, out: Path, previous: Path) -> None:
    if not out.exists():
        partial.rename(out)
        return
    out.rename(previous)
    try:
        partial.rename(out)
    except BaseException:
        previous.rename(out)
        raise
    shutil.rmtree(previous, ignore_errors=True)


def _list(files: dict[str, Path], console: Console) -> None:
    for path, file in files.items():
        console.print(f"{decimal(file.stat().st_size):>10}  {escape(path)}")
    console.print(f"{decimal(sum(file.stat().st_size for file in files.values())):>10}  in {len(files)} files")


def _report(change: "Change", target: "Target", files: dict[str, Path], console: Console) -> None:
    place = f"{change.url} at {target.revision} ({change.commit[:10]})"
    if change.is_empty:
        done = "made the branch" if change.is_new_branch else "nothing to do"
        console.print(f"{done}: {place} holds all {change.unchanged} files already")
        return
    for sign, colour, paths in (
        ("+", "green", change.added),
        ("~", "yellow", change.changed),
        ("-", "red", change.deleted),
    ):
        for path in paths:
            size = decimal(files[path].stat().st_size) if path in files else ""
            console.print(f"[{colour}]{sign}[/] {size:>10}  {escape(path)}")
    console.print(f"pushed in one commit, {change.unchanged} files were there already: {place}")
