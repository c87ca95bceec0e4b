"""What is computed once before training."""

import pytest
import torch

from caan_hf.training.backbones import word_tokenizer
from caan_hf.training.precompute import encode_sentences

SENTENCES = ["a cat", "a cat with long grey whiskers", "two dogs"]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_sentence_is_the_same_alone_and_padded_on_either_side(make_model, processor, side):
    model = make_model()
    processor.tokenizer = word_tokenizer(SENTENCES)
    processor.tokenizer.padding_side = side
    # Positions count from the mask in some encoders and from the left in BERT: only one of them is to be tested here.
    model.text_model.embeddings.position_embeddings.weight.data.zero_()
    together = encode_sentences(model, processor, SENTENCES)
    for sentence in SENTENCES:
        alone = model.encode_text(**processor.tokenize(sentence))[0]
        torch.testing.assert_close(together[sentence].float(), alone, rtol=2e-3, atol=2e-3)
