"""Small synthetic raw folders in the layouts in which the benchmarks are distributed."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from caan_hf.benchmarks import BenchmarkInfo, PrepareOptions, prepare_benchmark
from caan_hf.utils.problems import Problems

SEEN = ("cat", "dog", "alarm_clock")  # on the seen side of sketchy-25
UNSEEN = ("cup", "swan")  # on its unseen side


def image_bytes(key: str, *, format: str = "JPEG", size: int = 24) -> bytes:
    """A small image whose pixels depend on `key`."""
    rng = np.random.default_rng(list(key.encode()))
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(buffer, format)
    return buffer.getvalue()


class RawFolder:
    """Writes images and lists below a raw folder."""

    def __init__(self, root: Path):
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def image(self, relative: str) -> Path:
        path = self.root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image_bytes(relative, format="PNG" if path.suffix == ".png" else "JPEG"))
        return path

    def images(self, folder: str, categories=SEEN + UNSEEN, count: int = 2, suffix: str = ".jpg") -> None:
        for category in categories:
            for number in range(count):
                self.image(f"{folder}/{category}/{number}{suffix}")

    def text(self, relative: str, *lines: str) -> Path:
        path = self.root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def strokes(self, word: str, count: int = 2, folder: str = "strokes") -> Path:
        records = [
            {"word": word, "key_id": f"{word}-{number}", "drawing": [[[0, 200, 255], [0, 10 * number, 255]]]}
            for number in range(count)
        ]
        return self.text(f"{folder}/{word}.ndjson", *map(json.dumps, records))


@dataclass
class Prepared:
    """A prepared benchmark and what is known about it."""

    path: Path
    info: BenchmarkInfo

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Numbers of images by split and modality."""
        return self.info.counts.model_dump()


def prepare_folder(name: str, raw_dir: Path | str | None, out_dir: Path, **options) -> Prepared:
    """Prepare a benchmark, by default without progress bars."""
    options = PrepareOptions(**{"progress": False, **options})
    return Prepared(out_dir, prepare_benchmark(name, raw_dir, out_dir, options))


def reasons(prepared: Prepared, leave_out: str = "category without a folder") -> dict[str, list[str]]:
    """Skipped paths by reason, without the many categories that a small folder lacks."""
    return Problems([problem for problem in prepared.info.skipped if problem.reason != leave_out]).by_reason()
