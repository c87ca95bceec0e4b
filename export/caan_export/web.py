"""Writes a folder of static files: a page that searches a gallery by drawing, in the visitor's browser."""

import hashlib
import html
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from caan_hf.encoding.load import model_folder
from caan_hf.encoding.preprocessing import Preprocessing
from caan_hf.errors import CaanError
from caan_hf.position_prior_caan import SIGMA
from caan_hf.utils.download import looks_local
from caan_hf.utils.files import check_out_dir, sha256_of, staged_folder, write_json, write_whole_text

from .manifest import EXPORT_AGAIN, LATE_INTERACTION, MANIFEST, PREPROCESSING, SKETCH_ENCODER, ExportedFolder
from .options import WebOptions
from .runtime import open_unchanged
from .web_gallery import WebGallery
from .web_model import compress_weights
from .web_runtime import ENGINES, read_runtime

SETTINGS = "caan_web.json"
"""File that describes the page, by which its folder is recognised."""
MODEL = f"{SKETCH_ENCODER}.onnx"
MAX_LOCAL_BYTES = 64 * 2**20
MAX_KEPT_BYTES = 32 * 2**20
"""Size of the small photos up to which all of them are stored for use without a network."""
FILTERS = (1, 2, 3)
"""Numbers of Pillow's filters that `resize.js` has: Lanczos, bilinear, bicubic."""


@dataclass(frozen=True)
class WebPage:
    """What was written.

    Attributes:
        photos: Number of photos.
        unreadable: Number of photos that are shown in grey, because they cannot be read any more.
        explains: Whether the page re-ranks or explains results.
        sizes: Size in bytes by part of the page.
    """

    photos: int
    unreadable: int
    explains: bool
    sizes: dict[str, int]


def write_web(
    gallery: str,
    out_dir: Path,
    options: WebOptions | None = None,
    *,
    report: Callable[[str], object] = lambda stage: None,
) -> WebPage:
    """Write a page with a gallery, the sketch encoder of its model, and onnxruntime-web.

    Args:
        gallery: Folder or URL of the gallery.
        out_dir: Folder to write. It appears only if everything could be written.
        options: See [`WebOptions`].
        report: Called with the name of each stage, and with the number of photos that are written so far.

    Raises:
        CaanError: The gallery, the model or onnxruntime-web cannot be used, or the folder cannot be written.
    """
    options = options or WebOptions()
    check_out_dir(out_dir, SETTINGS, overwrite=options.overwrite)
    report("reading the gallery")
    source = WebGallery.open(gallery)
    info = source.gallery.info
    report("reading onnxruntime-web")
    runtime = read_runtime(options.runtime, [name for names in ENGINES.values() for name in names])
    with _exported(options.model or info.model, report) as export:
        info.require(export.manifest.identity, options.model or info.model, gallery)
        local = _local_settings(source, export, options.local)
        settings = {
            "title": options.title,
            "model": export.manifest.checkpoint.name,
            "input": _input(export),
            "local": local,
            "runtime": ENGINES,
        }
        report("writing the page")
        with staged_folder(out_dir, SETTINGS, overwrite=options.overwrite) as folder:
            _write_code(folder, options.title)
            (folder / "runtime").mkdir()
            for name, content in runtime.items():
                (folder / "runtime" / name).write_bytes(content)
            store = compress_weights if options.dtype == "int8" else shutil.copyfile
            store(export.graph(SKETCH_ENCODER), folder / MODEL)
            unreadable = source.write(folder, options.thumbnails, local=local is not None, report=report)
            sizes = _sizes(folder)
            kept = 0 < sizes["photos"] <= MAX_KEPT_BYTES
            settings["photos"] = {"count": len(source.paths), "side": options.thumbnails, "keep": kept}
            _write_settings(folder, settings)
    return WebPage(len(source.paths), unreadable, local is not None, sizes)


@contextmanager
def _exported(model: str, report: Callable[[str], object]) -> Iterator[ExportedFolder]:
    """The float32 export of a model: the model itself if it is an export, otherwise a temporary export of it."""
    folder = model_folder(model)
    if (folder / MANIFEST).is_file():
        export = open_unchanged(model, None if looks_local(model) else folder.name)
        if export.manifest.dtype != "fp32":
            raise CaanError(
                f"{model}: an export in {export.manifest.dtype}, but a page needs float32 graphs. Pass the "
                "checkpoint, or an export with --dtype fp32, with --model."
            )
        yield export
        return
    from .export import export_checkpoint  # noqa: PLC0415 - torch

    with tempfile.TemporaryDirectory(prefix="caan-export-") as temporary:
        out = Path(temporary, "onnx")
        export_checkpoint(model, out, report=report)
        yield ExportedFolder.open(out)


def _local_settings(source: WebGallery, export: ExportedFolder, wanted: bool | None) -> dict[str, Any] | None:
    """How the page computes local scores; None without local embeddings."""
    manifest, size = export.manifest, source.local_bytes
    usable = size > 0 and manifest.local_matching == LATE_INTERACTION
    if wanted and not usable:
        raise CaanError(f"--local: {source.gallery.table.uri} has no local embeddings of late interaction. Omit it.")
    if not usable or wanted is False or (wanted is None and size > MAX_LOCAL_BYTES):
        return None
    assert manifest.identity.local_shape is not None
    tokens, width = manifest.identity.local_shape
    return {
        "tokens": tokens,
        "width": width,
        "positionWeight": manifest.local_position_weight,
        "sigma": SIGMA,
        "weight": manifest.local_weight,
        "reranks": bool(manifest.local_weight),
    }


def _input(export: ExportedFolder) -> dict[str, Any]:
    """How the page prepares drawings."""
    if any(name.endswith(".onnx.data") for name in export.manifest.files):
        raise CaanError(f"{export.manifest.checkpoint.name}: too large for a browser. Use a smaller model.")
    file = export.path / PREPROCESSING
    given = Preprocessing.read(file, EXPORT_AGAIN)
    if given.resample not in FILTERS:
        raise CaanError(
            f"{file}: resizes with filter {given.resample}, which the page does not support. Use bilinear (2)."
        )
    return {
        "side": export.manifest.identity.image_size,
        "size": given.size[0] if isinstance(given.size, tuple) else given.size,
        "fit": given.size,
        "crop": given.crop[0] if given.crop else None,
        "resample": given.resample,
        "scale": given.scale,
        "mean": given.mean,
        "std": given.std,
        "margin": given.sketch_margin,
    }


def _write_code(folder: Path, title: str) -> None:
    """Write page, style and scripts. The pad is that of the demo."""
    page, pad = files("caan_export") / "page", files("caan_demo") / "pad"
    for file in page.iterdir():
        write_whole_text(folder / file.name, file.read_text(encoding="utf-8"))
    script = (pad / "pad.js").read_text(encoding="utf-8")
    write_whole_text(folder / "pad.js", f"{script}\nexport {{ createPad }};\n")
    write_whole_text(folder / "pad.css", (pad / "pad.css").read_text(encoding="utf-8"))
    index = (page / "index.html").read_text(encoding="utf-8")
    index = index.replace("<!-- pad -->", (pad / "pad.html").read_text(encoding="utf-8"))
    write_whole_text(folder / "index.html", index.replace("<!-- title -->", html.escape(title)))


def _write_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write the settings with the hash of every file but the photos, and the list of files for the service worker."""
    code = {path: folder / path for path in _paths(folder) if not path.startswith("photos/")}
    entries = {path: {"bytes": file.stat().st_size, "sha256": sha256_of(file)} for path, file in code.items()}
    version = hashlib.sha256(json.dumps([settings, entries]).encode()).hexdigest()[:16]
    kept = [path for path in entries if not path.startswith("runtime/") and path not in ("index.html", "offline.js")]
    offline = folder / "offline.js"
    script = offline.read_text(encoding="utf-8").replace("<!-- version -->", version)
    write_whole_text(offline, script.replace("[/* files */]", json.dumps(["./", SETTINGS, *kept])))
    del entries["offline.js"]
    write_json(folder / SETTINGS, {"version": version, **settings, "files": entries})


def _paths(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def _sizes(folder: Path) -> dict[str, int]:
    """Size in bytes of each part of the page."""
    sizes = dict.fromkeys(("page", "model", "runtime", "embeddings", "local embeddings", "photos"), 0)
    names = {MODEL: "model", "gallery/local.bin": "local embeddings"}
    folders = {"gallery": "embeddings", "runtime": "runtime", "photos": "photos"}
    for path in _paths(folder):
        part = names.get(path) or folders.get(path.partition("/")[0], "page")
        sizes[part] += (folder / path).stat().st_size
    return sizes
