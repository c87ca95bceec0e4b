"""The files of onnxruntime-web, which run a graph in a browser: of one version, with known hashes."""

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from caan_hf.errors import CaanError, first_line
from caan_hf.utils.files import read_bytes

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
SHA256 = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    "ort.webgpu.bundle.min.mjs": "0730816731ce2cdfb06f273da065d4a1c7091eb9d1756a83b2916c8a89d015e2",
    "ort-wasm-simd-threaded.asyncify.wasm": "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
}
"""Files of the package's folder `dist`."""
ENGINES = {
    "wasm": ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"),
    "webgpu": ("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"),
}
"""The script of an engine, and the code that it loads."""
NPM_SECONDS = 300
REMEDY = f"Pass the folder of {PACKAGE} {VERSION} with --runtime."


def read_runtime(folder: Path | None, names: list[str]) -> dict[str, bytes]:
    """Read files of onnxruntime-web.

    Args:
        folder: The npm package's folder, or its folder `dist`. None downloads the package with npm.
        names: The files.

    Raises:
        CaanError: The folder holds another version, or npm is not installed or cannot download the package.
    """
    if folder is not None:
        dist = folder / "dist" if (folder / "dist").is_dir() else folder
        return {name: _checked(name, _read(dist / name), str(folder)) for name in names}
    with tempfile.TemporaryDirectory(prefix="caan-export-") as temporary:
        archive = _downloaded(Path(temporary))
        try:
            with tarfile.open(archive) as package:
                found = {name: package.extractfile(f"package/dist/{name}") for name in names}
                return {
                    name: _checked(name, file.read() if file else b"", archive.name) for name, file in found.items()
                }
        except (KeyError, OSError, tarfile.TarError) as error:
            raise CaanError(f"{archive.name}: damaged ({first_line(error)}). {REMEDY}") from error


def _downloaded(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise CaanError(f"{PACKAGE} {VERSION}: npm, which downloads it, is not installed. {REMEDY}")
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--prefer-offline", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=NPM_SECONDS, check=False)
        problem = done.stderr.strip().partition("\n")[0]
    except (OSError, subprocess.SubprocessError) as error:
        problem = first_line(error)
    archives = list(folder.glob("*.tgz"))
    if not archives:
        raise CaanError(f"{PACKAGE} {VERSION}: npm could not download it ({problem}). {REMEDY}")
    return archives[0]


def _read(file: Path) -> bytes:
    try:
        return read_bytes(file)
    except OSError as error:
        raise CaanError(f"{file}: cannot be read ({error.strerror or error}). {REMEDY}") from error


def _checked(name: str, content: bytes, source: str) -> bytes:
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise CaanError(f"{source}: its {name} is not that of {PACKAGE} {VERSION}. {REMEDY}")
    return content
