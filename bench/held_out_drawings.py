"""Split Quick, Draw! drawings into those for training and held-out ones of seen categories (see docs/results.md).

    python bench/held_out_drawings.py POOL SKETCHY_PHOTOS TRAINING HELD_OUT
    caan prepare folder HELD_OUT data/drawings

The last COUNT drawings of each file POOL/strokes/CATEGORY.ndjson whose category has a folder in SKETCHY_PHOTOS are
written to HELD_OUT/strokes, and everything else of POOL to TRAINING. HELD_OUT also gets a photo of each category, which
`caan prepare` requires.
"""

import shutil
from pathlib import Path

from common import options_parser, run

from caan_hf.errors import CaanError

COUNT = 5


def main() -> None:
    parser = options_parser(__doc__)
    for name in ("pool", "photos", "training", "held_out"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    if not any((options.photos / file.stem).is_dir() for file in (options.pool / "strokes").glob("*.ndjson")):
        raise CaanError(
            f"{options.photos}: has no folder with photos of a drawn category. Give the folder that holds them."
        )
    for folder in (options.training, options.held_out):
        (folder / "strokes").mkdir(parents=True)
    for folder in ("photos", "sketches"):
        shutil.copytree(options.pool / folder, options.training / folder)
    names = []
    for file in sorted((options.pool / "strokes").glob("*.ndjson")):
        lines = file.read_bytes().splitlines(keepends=True)
        photos = options.photos / file.stem
        if photos.is_dir():
            names.append(file.stem)
            (options.held_out / "strokes" / file.name).write_bytes(b"".join(lines[-COUNT:]))
            photo = min(photos.iterdir())
            (options.held_out / "photos" / file.stem).mkdir(parents=True)
            shutil.copy(photo, options.held_out / "photos" / file.stem)
            lines = lines[:-COUNT]
        (options.training / "strokes" / file.name).write_bytes(b"".join(lines))
    (options.held_out / "unseen.txt").write_text(f"{names[0]}\n", encoding="utf-8")
    print(f"{len(names)} categories, {COUNT * len(names)} held-out drawings")


if __name__ == "__main__":
    run(main)
