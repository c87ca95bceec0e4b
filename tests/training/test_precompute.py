"""Features that are computed once, before or after training."""

import pytest
import torch

from caan_hf.errors import CaanError
from caan_hf.training.backbones import word_tokenizer
from caan_hf.training.precompute import encode_rows, encode_sentences
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
