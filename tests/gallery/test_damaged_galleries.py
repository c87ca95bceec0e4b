"""Damaged galleries and galleries of strangers raise one-line errors that name the gallery, or are still searched."""

import json
import os
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pytest
from photos import draw_photo, encoded
from PIL import Image

from caan_hf import CaanError
from caan_hf.gallery import Gallery
from caan_hf.gallery.figures import results_figure


def rewrite(gallery, change):
    """Replace the table of a gallery by a changed copy, and open the gallery again."""
    table = lancedb.connect(gallery.table.uri).open_table("photos")
    rows = change(table.to_arrow())
    options = {"mode": "overwrite", "on_bad_vectors": "fill", "fill_value": np.nan}  # keeps NaN
    lancedb.connect(gallery.table.uri).create_table("photos", data=rows, schema=rows.schema, **options)
    return Gallery.open(gallery.table.uri, model=gallery.encoder)


def with_values(column, value):
    """Set a column of all rows."""

    def change(rows):
        field = rows.schema.field(column)
        values = pa.array([value] * len(rows), field.type)
        return rows.set_column(rows.schema.get_field_index(column), field, values)

    return change


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_path_that_is_not_a_regular_file_is_not_read(own_gallery, sketch, tmp_path, kind):
    os.mkfifo(tmp_path / "pipe")
    path = str(tmp_path / "pipe") if kind == "pipe" else "/dev/zero"

    def only_row(rows):
        return with_values("path", path)(rows.slice(0, 1))

    gallery = rewrite(own_gallery, only_row)
    (result,) = gallery.search(sketch)
    assert result.path == path
    assert gallery.explain(sketch, result).photo.size == (60, 40)  # the thumbnail


@pytest.mark.parametrize("folder", ["data", "_versions"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_device_among_the_files_of_a_gallery_is_refused(own_gallery, kind, folder):
    file = max((Path(own_gallery.table.uri) / "photos.lance" / folder).iterdir())
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    with pytest.raises(CaanError, match=r"regular file.*Index"):
        Gallery.open(own_gallery.table.uri)


@pytest.mark.parametrize(
    "thumbnail",
    [b"no picture", encoded(Image.new("1", (9000, 9000))), b"", None],
    ids=["damaged", "bomb", "empty", "none"],
)
def test_a_damaged_thumbnail_is_drawn_as_an_empty_frame(own_gallery, indexed_folder, sketch, thumbnail):
    def change(rows):
        missing = with_values("path", str(indexed_folder / "photos" / "gone.png"))(rows.slice(0, 1))
        return with_values("thumbnail", thumbnail)(missing)

    gallery = rewrite(own_gallery, change)
    results = gallery.search(sketch)
    assert results_figure(sketch, results).width > 0
    with pytest.raises(CaanError, match=r"gone\.png: .*cannot be read.*Run `caan index`"):
        gallery.photo(results[0])


@pytest.mark.parametrize("column", ["path", "thumbnail", "global_embeds", "local_embeds"])
@pytest.mark.parametrize("how", ["missing", "another type"])
def test_a_missing_or_foreign_column_is_named(own_gallery, column, how):
    def change(rows):
        if how == "missing":
            return rows.drop_columns([column])
        return rows.set_column(rows.schema.get_field_index(column), column, pa.array(range(len(rows))))

    with pytest.raises(CaanError, match=rf"gallery: its column '{column}'.*Index the photos again"):
        rewrite(own_gallery, change)


@pytest.mark.parametrize("column", ["width", "sha256"])
def test_rows_without_values_are_refused(own_gallery, column):
    gallery = rewrite(own_gallery, with_values(column, None))
    with pytest.raises(CaanError, match=rf"gallery: .*cannot be read.*{column}"):
        gallery.table.columns([column])


def test_embeddings_that_are_not_numbers_are_refused(own_gallery, sketch):
    width = own_gallery.table.table.schema.field("global_embeds").type.list_size
    gallery = rewrite(own_gallery, with_values("global_embeds", np.full(width, np.nan, np.float32)))
    with pytest.raises(CaanError, match=r"gallery: .*NaN"):
        gallery.search(sketch)


@pytest.mark.parametrize(
    "settings", [{"nprobes": 2**40}, {"refine_factor": 0}, {"kind": "[/red]"}, {"recall": 7}], ids=str
)
def test_settings_of_the_index_out_of_range_are_named(own_gallery, sketch, settings):
    metadata = {"caan_search": json.dumps(settings)}
    own_gallery.table.table.update_field_metadata({"path": "global_embeds", "metadata": metadata})
    with pytest.raises(CaanError, match=rf"gallery: {next(iter(settings))}.*Index the photos again"):
        Gallery.open(own_gallery.table.uri, model=own_gallery.encoder).search(sketch)


@pytest.mark.parametrize(
    ("folder", "how"), [("data", "truncated"), ("data", "missing"), ("data", "foreign"), ("_versions", "foreign")]
)
def test_damaged_files_raise_a_one_line_error(own_gallery, sketch, tmp_path, folder, how):
    for file in (tmp_path / "gallery" / "photos.lance" / folder).iterdir():
        data = file.read_bytes()
        file.unlink()
        if how != "missing":
            file.write_bytes(data[: len(data) // 2] if how == "truncated" else b"something else" * 99)
    with pytest.raises(CaanError, match=r"gallery: .*cannot be (read|opened).*Index the photos again") as error:
        Gallery.open(tmp_path / "gallery", model=own_gallery.encoder).search(sketch)
    assert "\n" not in str(error.value)


def test_columns_of_other_programs_are_kept(own_gallery, indexed_folder, sketch, tmp_path):
    def change(rows):
        return rows.append_column("tag", pa.array([f"tag {number}" for number in range(len(rows))]))

    gallery = rewrite(own_gallery, change)
    before = {row["path"]: row["tag"] for row in gallery.table.columns(["path", "tag"]).to_pylist()}
    assert gallery.search(sketch)
    draw_photo(99).save(tmp_path / "new.png")
    gallery.add(indexed_folder / "photos", force=True)
    gallery.add([tmp_path / "new.png"])
    after = {row["path"]: row["tag"] for row in gallery.table.columns(["path", "tag"]).to_pylist()}
    assert after == {**before, str(tmp_path / "new.png"): None}
