"""Measure `caan index` on photos of 12 megapixels, and what decoding at a reduced size changes.

    python bench/photos.py MODEL PHOTOS [--count 120] [--record bench/records/photos.json]

PHOTOS is a folder of real photos of any size. They are enlarged to 4,000 x 3,000 pixels with grain, and saved as JPEGs
of three qualities, as PNG, WebP and HEIC. Each kind is indexed in a separate process, whose peak memory is that beyond
an index of one photo. CPU time is that of all threads per photo, which varies less on a busy machine. "Plain loop"
decodes the whole photo, prepares and encodes it, one photo after another. The cosine is that between the embeddings of
both.
"""

import io
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from common import in_own_process, peak_memory, record_parser, run, write_record
from PIL import Image
from tables import photos as photo_table

import caan_hf
from caan_hf.gallery import Gallery
from caan_hf.gallery.schema import from_vectors
from caan_hf.images_caan import clean_photo, register_heif

SIZE = (4000, 3000)
GRAIN = 5.0
KINDS = {
    "JPEG, quality 95": ("jpg", {"quality": 95, "subsampling": 0}),
    "JPEG, quality 85": ("jpg", {"quality": 85}),
    "JPEG, quality 70": ("jpg", {"quality": 70}),
    "PNG": ("png", {"compress_level": 1}),
    "WebP": ("webp", {"quality": 85, "method": 0}),
    "HEIC": ("heic", {"quality": 80}),
}


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("model")
    parser.add_argument("photos", type=Path)
    parser.add_argument(
        "--count", type=int, default=120, help="number of JPEGs; a tenth of it in other formats, at least two"
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--step", choices=("index", "loop"), help="used by the script itself")
    options = parser.parse_args()
    if options.step is not None:
        print(json.dumps(index(options) if options.step == "index" else loop(options)))
        return
    rows = []
    for kind in options.kinds:
        with tempfile.TemporaryDirectory() as folder:
            is_jpeg = kind.startswith("JPEG")
            count = max(2, options.count if is_jpeg else options.count // 10)
            write_photos(options.photos, Path(folder), kind, count)
            found = {
                step: in_own_process(__file__, options.model, folder, "--step", step) for step in ("index", "loop")
            }
            cosines = compare(*(result.pop("embeds") for result in found.values()))
            rows.append({"kind": kind, **found["index"], "loop_per_second": found["loop"]["per_second"], **cosines})
            print(rows[-1], flush=True)
    print(photo_table(rows))
    write_record(options.record, rows)


def write_photos(source: Path, folder: Path, kind: str, count: int) -> None:
    """Write enlarged photos with grain. The pixels repeat after 12 photos; the content of the files does not."""
    register_heif()
    files = sorted(source.rglob("*.jpg"))
    files = files[:: max(1, len(files) // 12)][:12]
    generator = np.random.default_rng(0)
    suffix, settings = KINDS[kind]
    contents = []
    for file in files[:count]:
        with Image.open(file) as small:
            large = np.asarray(small.convert("RGB").resize(SIZE, Image.Resampling.BICUBIC), np.float32)
        large = large + GRAIN * generator.standard_normal((*large.shape[:2], 1), dtype=np.float32)
        buffer = io.BytesIO()
        Image.fromarray(large.clip(0, 255).astype(np.uint8)).save(
            buffer, {"jpg": "JPEG", "heic": "HEIF"}.get(suffix, suffix), **settings
        )
        contents.append(buffer.getvalue())
    for number in range(count):
        # Bytes after the end of a picture are not read, and make a file that was not indexed before.
        content = contents[number % len(contents)] + str(number).encode() * (suffix != "heic")
        (folder / f"{number:04}.{suffix}").write_bytes(content)


def index(options) -> dict:
    gallery = Gallery.create(Path(tempfile.mkdtemp()) / "gallery", model=options.model)
    files = sorted(options.photos.iterdir())
    gallery.add(files[:1])
    before, busy = peak_memory(), time.process_time()
    report = gallery.add(options.photos)
    cpu_ms = 1000 * (time.process_time() - busy) / report.num_added
    stored = gallery.table.columns(["path", "global_embeds"]).sort_by("path")
    return {
        "per_second": report.num_added / report.seconds,
        "cpu_ms": cpu_ms,
        "grown_gib": peak_memory() - before,
        "embeds": from_vectors(stored["global_embeds"])[:12].tolist(),
    }


def loop(options) -> dict:
    encoder = caan_hf.load_encoder(options.model)
    files = sorted(options.photos.iterdir())[:12]
    encoder.encode_photos([files[0]])
    start = time.perf_counter()
    embeds = [encoder.encode_photos([clean_photo(file)])[0].tolist() for file in files]
    return {"per_second": len(files) / (time.perf_counter() - start), "embeds": embeds}


def compare(one: list, other: list) -> dict:
    cosines = (np.asarray(one) * np.asarray(other)).sum(axis=1)
    return {"mean_cosine": float(cosines.mean()), "smallest_cosine": float(cosines.min())}


if __name__ == "__main__":
    run(main)
