"""Features that are computed once, before or after training."""

import collections

import datasets
import numpy as np
import pytest
import torch
from transformers import AutoModel

from caan_hf.errors import CaanError
from caan_hf.training.backbones import word_tokenizer
from caan_hf.training.precompute import encode_rows, encode_sentences, evenly, measure_centers, measure_hub_bank
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
    measure_centers(model, processor, triplets.paired_rows())
    measure_centers(model, processor, triplets.paired_rows())  # a second measurement does not depend on the first
    plain = make_model(text_config=None)
    plain.load_state_dict(model.state_dict(), strict=False)
    pixels = processor(sketches=[datasets.Image().decode_example(row["image"]) for row in triplets.sketches])
    mean = plain.get_sketch_features(**pixels).global_embeds.mean(dim=0)
    torch.testing.assert_close(model.sketch_center.mean, mean, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model.sketch_center.mean, model.photo_center.mean)


def test_the_hub_bank_holds_training_sketches_evenly_over_categories(make_model, processor, train_split):
    model = make_model(text_config=None, hub_bank_size=7, center_features=True)
    triplets = TripletDataset(train_split, processor)  # 4 categories of 4 sketches
    measure_centers(model, processor, triplets.paired_rows())
    measure_hub_bank(model, processor, triplets.paired_rows())
    features = encode_rows(model, processor, triplets.sketches, "sketch")
    chosen = [int((features @ sketch).argmax()) for sketch in model.hub_bank.sketches]
    torch.testing.assert_close(model.hub_bank.sketches, features[chosen])
    counts = collections.Counter(triplets.sketch_categories[chosen].tolist())
    assert sorted(counts.values()) == [1, 2, 2, 2]
    assert len(set(chosen)) == 7


def test_the_hub_bank_is_no_larger_than_the_training_data(make_model, processor, train_split, tmp_path):
    model = make_model(text_config=None, hub_bank_size=800)
    triplets = TripletDataset(train_split, processor)
    measure_hub_bank(model, processor, triplets.paired_rows())
    assert model.config.hub_bank_size == len(model.hub_bank.sketches) == len(triplets) == 16
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    torch.testing.assert_close(loaded.hub_bank.sketches, model.hub_bank.sketches)


def test_images_are_chosen_evenly():
    categories = np.array([5] * 10 + [2] * 3 + [9] * 10)
    chosen = evenly(categories, 12)
    assert chosen == sorted(set(chosen))
    assert collections.Counter(categories[chosen].tolist()) in [{5: 5, 2: 3, 9: 4}, {5: 4, 2: 3, 9: 5}]
    assert evenly(categories, 23) == list(range(23))


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
