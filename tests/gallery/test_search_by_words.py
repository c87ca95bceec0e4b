"""Search by words, alone and beside a sketch."""

import numpy as np
import pytest
import torch
from gallery_rows import ranked
from photos import draw_photo, save_text_checkpoint
from typer.testing import CliRunner

from caan_hf import CaanError, load_encoder
from caan_hf.cli.main import app
from caan_hf.descriptions.records import shipped_descriptions
from caan_hf.encoding.text_encoder import TextEncoder
from caan_hf.gallery import Gallery
from caan_hf.retrieval.words import TEXT_WEIGHT, with_words
from caan_hf.training.backbones import word_tokenizer

WORDS = "two dogs"


@pytest.fixture
def model(tmp_path):
    """The folder of a model that was trained with text."""
    return save_text_checkpoint(tmp_path / "model", ["a cat", WORDS])


@pytest.fixture
def words_gallery(model, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(6):
        draw_photo(number).save(tmp_path / "photos" / f"{number}.png")
    gallery = Gallery.create(tmp_path / "gallery", model=model, device="cpu", dtype="float32")
    gallery.add(tmp_path / "photos")
    return gallery


def test_words_alone_and_beside_a_sketch(words_gallery, sketch):
    encoder = words_gallery.encoder
    assert encoder.has_text
    words = encoder.encode_text([WORDS])[0]
    both = encoder.encode_sketch(sketch).global_embeds + TEXT_WEIGHT * words
    for query, vector in ((None, words), (sketch, both / np.linalg.norm(both))):
        paths, scores = ranked(words_gallery, vector)
        results = words_gallery.search(query, text=WORDS, rerank=False)
        assert [result.path for result in results] == paths
        np.testing.assert_allclose([result.score for result in results], scores, atol=1e-5)


def test_the_name_of_a_described_category_stands_for_its_descriptions(words_gallery, sketch):
    encoder = words_gallery.encoder
    texts = [record.text for record in shipped_descriptions() if record.category == "cup"]
    words = encoder.encode_text([texts])[0]
    both = with_words(encoder.encode_sketch(sketch).global_embeds, words)
    for query, expected in ((None, words), (sketch, both)):
        np.testing.assert_array_equal(words_gallery.encode_query(query, "a cup").vector, expected)
    named, other = (words_gallery.encode_query(None, text).vector for text in ("cup", "a cup with two handles"))
    np.testing.assert_array_equal(named, words)
    assert not np.array_equal(other, words)


def test_words_beside_a_sketch_are_reranked_by_the_sketch_and_words_alone_are_not(words_gallery, sketch):
    best = words_gallery.search(sketch, text=WORDS, rerank=True)[0]
    assert best.local_score is not None
    assert words_gallery.search(None, text=WORDS, rerank=True)[0].local_score is None


def test_the_sum_is_weighted_and_normalised():
    sketches, texts = np.eye(3, dtype=np.float32)[None, :2], np.eye(3, dtype=np.float32)[None, 2:]
    sums = with_words(sketches, texts, text_weight=3.0)
    np.testing.assert_allclose(sums, np.array([[[1, 0, 3], [0, 1, 3]]]) / 10**0.5, rtol=1e-6)


def test_a_model_without_text_and_useless_options_are_named(gallery, sketch):
    assert not gallery.encoder.has_text
    with pytest.raises(CaanError, match=r"cannot encode words.*text_negatives=all"):
        gallery.search(sketch, text="a cat")
    with pytest.raises(CaanError, match="--text: holds no words"):
        gallery.search(sketch, text=" ")
    for search in (lambda: gallery.search(sketch, text="\ud800"), lambda: gallery.encode_query(None, "\ud800")):
        with pytest.raises(CaanError, match="--text: is not valid UTF-8"):
            search()
    with pytest.raises(CaanError, match="--photo and --text"):
        gallery.search(sketch, text="a cat", photo=True)


def test_an_encoder_whose_text_side_is_that_of_another_model_says_so(model, make_model, processor):
    other = make_model(lambda_txt=1, text_negatives="all", projection_dim=8)
    processor.tokenizer = word_tokenizer(["a cat"])
    (model / "text").rename(model / "before")
    other.text_contrast.set_sentences(torch.randn(3, 2, 24), torch.ones(3, 2, dtype=torch.bool))
    TextEncoder.of_model(other, processor, None).save(model)
    with pytest.raises(CaanError, match=r"folder text .*another model"):
        load_encoder(model).encode_text(["a cat"])


def test_words_on_the_command_line(words_gallery, sketch, tmp_path):
    sketch.save(tmp_path / "sketch.png")
    folder = str(words_gallery.table.uri)

    def run(*arguments):
        return CliRunner().invoke(app, ["search", folder, *arguments])

    found = run("--text", WORDS, "--out", str(tmp_path / "results.png"))
    assert found.exit_code == 0
    assert words_gallery.search(None, text=WORDS)[0].path in found.output.splitlines()[1]
    assert (tmp_path / "results.png").stat().st_size > 1000
    assert run(str(tmp_path / "sketch.png"), "--text", WORDS, "-k", "2").exit_code == 0
    with pytest.raises(CaanError, match=r"Missing argument SKETCH.*--text WORDS"):
        raise run().exception
    with pytest.raises(CaanError, match="Give a SKETCH"):
        raise run("--text", WORDS, "--explain").exception
