"""Galleries of synthetic vectors, without photos."""

import numpy as np
import pyarrow as pa

from caan_hf.encoding.identity import EncoderIdentity
from caan_hf.gallery.schema import GLOBAL, GalleryInfo, to_vectors
from caan_hf.gallery.table import PhotoTable

DIM = 32


def clustered(count, dim=DIM, seed=0):
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(size=(50, dim))
    values = centres[generator.integers(0, 50, count)] + 0.5 * generator.normal(size=(count, dim))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def add(table, values, first=0):
    count = len(values)
    columns = {
        "path": [f"{first + number:06}" for number in range(count)],
        **{name: [0] * count for name in ("size", "mtime_ns", "width", "height")},
        "sha256": [f"{first + number:064x}" for number in range(count)],
        GLOBAL: to_vectors(values),
        "thumbnail": [None] * count,
        "image": [None] * count,
        "has_copy": [False] * count,
        "thumbnail_side": [0] * count,
    }
    schema = pa.schema([table.table.schema.field(name) for name in columns])
    table.upsert(pa.table(columns, schema=schema))


def make_table(folder, dim=DIM):
    identity = EncoderIdentity("00", "00", "00", "float32", image_size=32, global_dim=dim, local_shape=(4, 2))
    return PhotoTable.create_or_open(folder, GalleryInfo(model="model", identity=identity, local=False))
