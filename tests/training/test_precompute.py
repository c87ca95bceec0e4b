"""Features that are computed once, before or after training."""

import datasets
import pytest
import torch

from caan_hf.errors import CaanError
from caan_hf.training.backbones import word_tokenizer
from caan_hf.training.precompute import encode_rows, encode_sentences, measure_centers
from caan_hf.training.triplets import TripletDataset

SENTENCES = ["a cat", "a cat with long grey whiskers", "two dogs"]


@pytest.mark.parametrize("side", ["left", "right"])
def test_tokens_of_a_sentence_do_not_depend_on_padding(make_model, processor, side):
    model = make_model()
    processor.tokenizer = word_tokenizer(SENTENCES)
    processor.tokenizer.padding_side = side
    # BERT counts positions from the left; without position embeddings, only the mask matters.
    model.text_model.embeddings.position_embeddings.weight.data.zero_()
    together = encode_sentences(model, processor, SENTENCES)
    for sentence in SENTENCES:
        alone = model.encode_text(**processor.tokenize(sentence))[0]
        torch.testing.assert_close(together[sentence].float(), alone, rtol=2e-3, atol=2e-3)


def test_measured_means_are_those_of_the_training_images(make_model, processor, train_split):
    model = make_model(text_config=None, center_features=True)
    triplets = TripletDataset(train_split, processor)
    measure_centers(model, processor, triplets)
    measure_centers(model, processor, triplets)  # a second measurement does not depend on the first
    plain = make_model(text_config=None)
    plain.load_state_dict(model.state_dict(), strict=False)
    pixels = processor(sketches=[datasets.Image().decode_example(row["image"]) for row in triplets.sketches])
    mean = plain.get_sketch_features(**pixels).global_embeds.mean(dim=0)
    torch.testing.assert_close(model.sketch_center.mean, mean, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model.sketch_center.mean, model.photo_center.mean)


def test_untrained_local_tokens_are_projected_to_the_principal_components_of_the_patches(
    make_model, processor, train_split
):
    late = {"text_config": None, "local_matching": "late_interaction", "local_grid": 4}
    model = make_model(**late, local_dim=3)
    triplets = TripletDataset(train_split, processor)
    measure_centers(model, processor, triplets)
    plain = make_model(**late, local_dim=None)
    state = {name: weight for name, weight in model.state_dict().items() if name != "local_tokens.projection.weight"}
    plain.load_state_dict(state)
    total = 0
    for rows, encode, kind in (
        (triplets.sketches, plain.get_sketch_features, "sketches"),
        (triplets.photos, plain.get_photo_features, "photos"),
    ):
        pixels = processor(**{kind: [datasets.Image().decode_example(row["image"]) for row in rows]})
        patches = encode(**pixels).last_hidden_state[:, 1:].flatten(0, 1).double()
        covariance = torch.cov(patches.T, correction=0)
        total = total + covariance / covariance.trace()
    weight = model.local_tokens.projection.weight.double()
    torch.testing.assert_close(weight @ weight.T, torch.eye(3).double(), rtol=0, atol=1e-5)
    kept = torch.linalg.eigvalsh(total)[-3:].sum()
    torch.testing.assert_close(torch.einsum("rd,de,re->", weight, total, weight), kept, rtol=1e-4, atol=1e-6)


def test_encoding_advances_the_generator_by_one_draw(make_model, processor, train_split):
    """Otherwise a recipe that validates during training would not reproduce its recorded weights."""
    rows = TripletDataset(train_split, processor).photos
    torch.manual_seed(1)
    encode_rows(make_model(text_config=None), processor, rows, "photo", batch_size=2)
    after = torch.rand(3)
    torch.manual_seed(1)
    make_model(text_config=None)
    torch.empty((), dtype=torch.int64).random_()
    torch.testing.assert_close(torch.rand(3), after, rtol=0, atol=0)


def test_an_image_that_cannot_be_encoded_is_named(make_model, processor, train_split):
    rows = TripletDataset(train_split, processor).photos
    damaged = rows.select([0]).map(lambda row: {"image": {"bytes": b"no image", "path": None}})
    with pytest.raises(CaanError, match=f"{rows[0]['source']}: .*prepare the benchmark again"):
        encode_rows(make_model(text_config=None), processor, damaged, "photo")
