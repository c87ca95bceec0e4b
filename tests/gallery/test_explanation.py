"""Explanations divide the local score, and find correspondences that are known by construction."""

import numpy as np
import pytest
from photos import SIDE, draw_photo, save_checkpoint
from PIL import Image, ImageDraw
from transformers import CLIPImageProcessor

from caan_hf import CaanProcessor
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.encoding.features import EncodedSketch
from caan_hf.gallery import Gallery
from caan_hf.gallery.explanation import explain, select_matches

GRID, WIDTH = 4, 24


def unit(values):
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def sketch_with_ink(cells, side=80):
    """A clean sketch with a dot in the middle of each given cell (row, column)."""
    image = Image.new("RGB", (side, side), "white")
    step = side / GRID
    for row, column in cells:
        x, y = (column + 0.5) * step, (row + 0.5) * step
        ImageDraw.Draw(image).ellipse((x - 3, y - 3, x + 3, y + 3), fill="black")
    return image


@pytest.fixture
def explain_local(encoder):
    """Explains local embeddings; the tokens of the sketch that are not drawn become zero vectors, as in a model."""

    def explained(drawn, photo, sketch_local, photo_local, **options):
        cells = [row * GRID + column for row, column in drawn]
        inked = np.zeros_like(sketch_local)
        inked[cells] = sketch_local[cells]
        return explain(
            encoder, EncodedSketch(sketch_with_ink(drawn), np.zeros(1), inked), photo, photo_local, **options
        )

    return explained


@pytest.fixture
def known():
    """Local embeddings of parts that are moved in the photo, and their new places."""
    generator = np.random.default_rng(0)
    parts = unit(generator.normal(size=(GRID * GRID, WIDTH)))
    moved_to = generator.permutation(GRID * GRID)
    sketch_local = unit(parts + 0.05 * generator.normal(size=parts.shape))
    photo_local = np.empty_like(sketch_local)
    photo_local[moved_to] = unit(parts + 0.05 * generator.normal(size=parts.shape))
    return sketch_local.astype(np.float32), photo_local.astype(np.float32), moved_to


def cell(box):
    return round(box[1] * GRID) * GRID + round(box[0] * GRID)


def test_moved_parts_are_found_at_their_new_places(known, encoder, explain_local):
    sketch_local, photo_local, moved_to = known
    drawn = [(0, 0), (1, 2), (3, 3), (3, 0)]
    found = explain_local(drawn, Image.new("RGB", (120, 60), "grey"), sketch_local, photo_local)
    pairs = {cell(match.sketch_box): cell(match.photo_box) for match in found.matches}
    tokens = [row * GRID + column for row, column in drawn]
    assert pairs == {token: moved_to[token] for token in tokens}
    for match in found.matches:
        cosine = sketch_local[cell(match.sketch_box)] @ photo_local[cell(match.photo_box)]
        rows, columns = zip(*(divmod(cell(box), GRID) for box in (match.sketch_box, match.photo_box)), strict=True)
        squared = ((rows[0] - rows[1]) ** 2 + (columns[0] - columns[1]) ** 2) / GRID**2
        prior = encoder.local_position_weight * squared / (2 * 0.25**2)
        assert match.share == pytest.approx((cosine - prior) / len(drawn), abs=1e-6)


def test_heat_is_the_sum_of_the_shares(known, explain_local):
    sketch_local, photo_local, moved_to = known
    photo_local[moved_to[6]] = sketch_local[6] + sketch_local[9]  # the best match of both
    found = explain_local([(1, 2), (2, 1)], Image.new("RGB", (50, 50)), sketch_local, photo_local)
    tokens = [6, 9]
    assert np.flatnonzero(found.sketch_heat).tolist() == tokens
    assert np.flatnonzero(found.photo_heat).tolist() == [moved_to[6]]
    assert found.photo_heat.sum() == pytest.approx(found.sketch_heat.sum())
    assert found.sketch_heat.sum() == pytest.approx(found.shares.sum())


@pytest.mark.parametrize("number", range(4))
def test_shares_sum_to_the_local_score_and_start_on_ink(encoder, sketch, number):
    query, photo = encoder.encode_sketch(sketch), draw_photo(number)
    (local,) = encoder.encode(photo, "photo").local_embeds
    found = explain(encoder, query, photo, local)
    (score,) = encoder.local_scores(query.local_embeds[None], local[None])
    assert encoder.local_position_weight > 0
    assert found.shares.sum() == pytest.approx(score.item(), abs=1e-6)
    grey = query.image.convert("L")
    for match in found.matches:
        left, top, right, bottom = (share * grey.width for share in match.sketch_box)
        assert grey.crop((int(left), int(top), round(right), round(bottom))).getextrema()[0] < 160


def test_a_relation_network_is_explained_by_tokens_on_ink(tmp_path):
    folder = save_checkpoint(tmp_path / "relation", local_matching="relation", local_position_weight=0)
    encoder = CheckpointEncoder.load(str(folder), device="cpu")
    drawn = [(0, 0), (3, 2)]
    query = encoder.encode_sketch(sketch_with_ink([(1, 1)]))
    query = EncodedSketch(sketch_with_ink(drawn, side=83), query.global_embeds, query.local_embeds)
    (local,) = encoder.encode(draw_photo(1), "photo").local_embeds
    shares = explain(encoder, query, draw_photo(1), local).shares
    assert [divmod(int(token), GRID) for token in np.flatnonzero(shares.any(axis=1))] == drawn


def test_neighbours_that_match_the_same_part_are_listed_once():
    shares = np.zeros((64, 64))
    for share, sketch_cell, photo_cell in [
        (0.9, 0, 0),
        (0.8, 1, 9),  # next to the first in both pictures
        (0.7, 2, 0),  # next to the second alone, which is not listed
        (0.6, 8, 40),  # next to the first in the sketch alone
        (0.5, 60, 1),  # next to the first in the photo alone
        (-0.1, 30, 30),
    ]:
        shares[sketch_cell, photo_cell] = share
    assert select_matches(shares, 6) == [(0, 0), (2, 0), (8, 40), (60, 1)]
    assert select_matches(shares, 2) == [(0, 0), (2, 0)]
    assert select_matches(np.zeros((16, 16)), 6) == []


def test_boxes_lie_in_the_part_of_the_photo_that_the_encoder_sees(encoder, known):
    sketch_local, photo_local, _ = known
    sketch_local[np.arange(len(sketch_local)) != 5] = 0
    cropping = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    other = CheckpointEncoder(encoder.model, CaanProcessor(cropping))
    query = EncodedSketch(sketch_with_ink([(1, 1)]), np.zeros(1), sketch_local)
    for one, left, width in ((encoder, 0.0, 1.0), (other, 0.25, 0.5)):
        found = explain(one, query, Image.new("RGB", (128, 64)), photo_local)
        row, column = divmod(int(found.shares[5].argmax()), GRID)
        (match,) = found.matches
        assert match.photo_box == pytest.approx(
            (left + width * column / 4, row / 4, left + width * (column + 1) / 4, (row + 1) / 4)
        )
        assert found.photo_view == (left, 0, left + width, 1)


def test_tokens_of_different_grids_are_refused(encoder):
    image = Image.new("RGB", (10, 10))
    for sketch_local, photo_local in ((np.ones((4, 3)), np.ones((9, 3))), (np.ones((5, 3)), np.ones((5, 3)))):
        with pytest.raises(ValueError, match="no common square grid"):
            explain(encoder, EncodedSketch(image, np.zeros(1), sketch_local), image, photo_local)


def test_the_gallery_explains_the_local_score_of_a_result(gallery, sketch):
    result = gallery.search(sketch, k=1, rerank=True)[0]
    assert gallery.explain(sketch, result).shares.sum() == pytest.approx(result.local_score, abs=1e-6)


def test_an_export_explains_as_its_checkpoint(indexed_folder, checkpoint, encoder, sketch, tmp_path):
    export = pytest.importorskip("caan_export.export")
    export.export_checkpoint(str(checkpoint), tmp_path / "onnx", export.ExportOptions())
    query = encoder.encode_sketch(sketch)
    galleries = [Gallery.open(indexed_folder / "gallery", model=model) for model in (encoder, str(tmp_path / "onnx"))]
    result = galleries[0].search(query, k=1)[0]
    first, second = (gallery.explain(query, result) for gallery in galleries)
    np.testing.assert_allclose(first.shares, second.shares, atol=1e-6)
    assert first.matches == second.matches


def test_the_figure_frames_and_joins_matched_regions(known, explain_local):
    sketch_local, photo_local, _ = known
    found = explain_local([(1, 1)], Image.new("RGB", (300, 150), "grey"), sketch_local, photo_local)
    figure = found.figure(height=200)
    sketch_left, photo_left = 16, 16 + 200 + 72
    assert figure.size == (photo_left + 400 + 16, 200 + 2 * 16 + 28)
    (match,) = found.matches
    colour = (230, 159, 0)
    for left, width, box in ((sketch_left, 200, match.sketch_box), (photo_left, 400, match.photo_box)):
        x, y = left + round(box[0] * width), 16 + round((box[1] + box[3]) / 2 * 200)
        assert figure.getpixel((x + 1, y - 12)) == colour
    gap = figure.crop((sketch_left + 201, 0, photo_left - 1, figure.height - 40))
    assert colour in set(gap.get_flattened_data())
    without = found.figure(height=200, lines=False).crop((sketch_left + 201, 0, photo_left - 1, figure.height - 40))
    assert set(without.get_flattened_data()) == {(255, 255, 255)}


def test_lines_start_on_ink(encoder, known):
    sketch_local, photo_local, _ = known
    image = Image.new("RGB", (200, 200), "white")
    image.paste("black", (140, 52, 148, 60))  # in a corner of the region in row 1, column 2
    inked = np.zeros_like(sketch_local)
    inked[6] = sketch_local[6]
    found = explain(encoder, EncodedSketch(image, np.zeros(1), inked), Image.new("RGB", (200, 200)), photo_local)
    assert (found.figure(height=200).getpixel((16 + 140 + 6, 16 + 59))) == (230, 159, 0)  # its disc


def test_the_heat_map_is_reddest_over_the_matched_region_of_the_photo(known, explain_local):
    sketch_local, photo_local, moved_to = known
    found = explain_local([(2, 3)], Image.new("RGB", (200, 200), "grey"), sketch_local, photo_local)
    figure = np.asarray(found.figure(height=200, lines=False), float)[16:216, 288:488]
    redness = figure[..., 0] - figure[..., 2]
    cells = redness.reshape(GRID, 50, GRID, 50)[:, 20:30, :, 8:14].mean(axis=(1, 3)).reshape(-1)  # beside the number
    assert cells.argmax() == moved_to[2 * GRID + 3]
    assert np.median(cells) == pytest.approx(0, abs=1)
