"""Whether an exported folder still is what was verified, and answers on this machine as torch did."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .borrowed import CaanError
from .manifest import BRANCHES, CONFIG, MANIFEST, REFERENCE, Manifest, read_manifest, require_unaltered
from .parity import ATOL, Difference, measure_parity, require_parity
from .providers import Provider, choose_providers
from .reference import Reference
from .runtime import CaanOnnx, fetch


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        manifest: the exported folder.
        differences: of every output, see `parity.measure_parity`.
        against: what the graphs were compared with.
        providers: branch -> what ran it.
    """

    manifest: Manifest
    differences: list[Difference]
    against: str
    providers: dict[str, str]


def check_export(
    folder: str | Path,
    checkpoint: str | None = None,
    *,
    atol: float | None = None,
    providers: Sequence[Provider] | None = None,
    revision: str | None = None,
) -> Checked:
    """Check the files' fingerprints and the graphs, and compare their answers with torch's.

    Args:
        folder: an exported folder, or the id of a repository that holds one.
        checkpoint: what it was exported from, a folder or an id; torch then answers anew. Without it, and without
            torch, the answers that were recorded at the export count.
        atol: greatest difference to torch; by default the one that the export was held to.
        providers: as for `CaanOnnx.from_pretrained`.
        revision: of the checkpoint.

    Raises:
        CaanError: the first thing that is wrong.
    """
    choose_providers(providers)  # a missing one shows before anything is read
    folder = fetch(folder)
    manifest = read_manifest(folder)
    require_unaltered(manifest)  # before anything reads what may not be what was exported
    allowed = _allowed(manifest, atol)
    caan = CaanOnnx.from_pretrained(folder, providers)
    with suppress(ModuleNotFoundError):  # the runtime does without onnx
        check_graphs(folder)
    if checkpoint is None:
        reference, against = Reference.load(folder), "torch's answers, as recorded at the export"
    else:
        reference, against = _ask_again(manifest, caan, checkpoint, revision), f"torch, with {checkpoint}"
    differences = measure_parity(caan, reference, allowed)
    require_parity(differences)
    return Checked(manifest, differences, against, caan.providers)


def _allowed(manifest: Manifest, atol: float | None) -> float:
    """What the answers are held to; a record does not excuse more than the precision does, only the caller may."""
    file = manifest.folder / MANIFEST
    lacking = [name for name in (REFERENCE, CONFIG) if name not in manifest.content["files"]]
    if lacking or "parity" not in manifest.content:
        raise CaanError(f"{file}: damaged (it lacks {', '.join(lacking) or 'parity'}); export again")
    if atol is not None:
        return atol
    recorded, usual = manifest.content["parity"]["atol"], ATOL[manifest.dtype]
    if recorded > usual:
        raise CaanError(
            f"{file}: answers were let pass that differ from torch by {recorded:g}, {usual:g} is usual in "
            f"{manifest.dtype}; pass --atol {recorded:g} if you know why"
        )
    return recorded


def check_graphs(folder: Path) -> None:
    """The specification's own checker, shape inference included, over each graph.

    Raises:
        CaanError: a graph is not valid.
    """
    import onnx  # noqa: PLC0415 - only where graphs are made and checked

    for branch in BRANCHES:
        file = folder / f"{branch}.onnx"
        try:
            onnx.checker.check_model(str(file), full_check=True)  # by path: that is how graphs above 2 GB are checked
        except Exception as error:  # the checker's, protobuf's and the shape inference's errors have no common base
            reason = str(error).strip().partition("\n")[0]
            raise CaanError(f"{file}: not a valid ONNX graph ({reason})") from error


def _ask_again(manifest: Manifest, caan: CaanOnnx, checkpoint: str, revision: str | None) -> Reference:
    """Torch's answers, by the checkpoint that the folder was made from."""
    try:
        from .ask_torch import ask_torch  # noqa: PLC0415 - only here is torch needed
        from .source import find_checkpoint  # noqa: PLC0415
    except ImportError as error:
        raise CaanError(
            f"comparing with CHECKPOINT needs {error.name}; leave it out to compare with the record"
        ) from error
    source = find_checkpoint(checkpoint, revision)
    model, _ = source.load(manifest.image_size)
    recorded, found = manifest.content["checkpoint"].get("sha256", {}), source.fingerprint()["sha256"]
    other = sorted(name for name in {*recorded, *found} if recorded.get(name) != found.get(name))
    if other:
        raise CaanError(
            f"{checkpoint}: not what {manifest.folder / MANIFEST} was exported from ({', '.join(other)} differ); "
            "export again, or give that checkpoint"
        )
    return ask_torch(model, caan.preprocessing)
