import pytest
import torch

from caan_hf.alignment_caan import CaanAlignment, CaanVisualAlignment


def inputs(width: int = 8):
    visual, text = torch.randn(3, 5, width), torch.randn(3, 4, width)
    return visual, text, torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])


@pytest.fixture
def make_alignment(make_config):
    return lambda width=8, **overrides: CaanAlignment(make_config(**overrides), width).eval()


def attend(block, queries, context, mask=None, values=None):
    """Naive attention of one block: a loop over images and heads that removes padding instead of masking it."""
    heads, width = block.attention.config.alignment_num_heads, block.attention.head_dim
    query, key = block.attention.q_proj(queries), block.attention.k_proj(context)
    value = block.attention.v_proj(context if values is None else values)
    rows = []
    for i in range(queries.shape[0]):
        real = slice(None) if mask is None else mask[i].bool()
        head_outputs = []
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            weights = (query[i, :, part] @ key[i, real][:, part].T / width**0.5).softmax(-1)
            head_outputs.append(weights @ value[i, real][:, part])
        rows.append(torch.cat(head_outputs, dim=-1))
    return block.attention.out_proj(torch.stack(rows))


def pre_norm(block, queries, context, mask=None):
    queries = queries + attend(block, block.attention_norm(queries), block.context_norm(context), mask)
    return queries + block.feed_forward(block.feed_forward_norm(queries))


def post_norm(block, queries, context, mask=None, values=None):
    queries = block.attention_norm(queries + attend(block, queries, context, mask, values))
    return block.feed_forward_norm(queries + block.feed_forward(queries))


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
def test_alignment_equals_a_naive_exchange_in_both_directions(make_alignment, norm_first, layers, implementation):
    alignment = make_alignment(
        num_alignment_layers=layers, alignment_norm_first=norm_first, attn_implementation=implementation
    )
    block = pre_norm if norm_first else post_norm
    visual, text, mask = inputs()
    text[mask == 0] = 1000.0  # padding has no influence
    expected_visual, expected_text = visual, text
    for layer in alignment.layers:
        expected_text = block(layer.text_from_visual, expected_text, expected_visual)
        expected_visual = block(layer.visual_from_text, expected_visual, expected_text, mask)
    torch.testing.assert_close(alignment(visual, text, mask), expected_visual)


@pytest.mark.parametrize("layers", [1, 2])
def test_visual_alignment_takes_only_the_keys_from_the_other_modality(make_config, layers):
    config = make_config(num_alignment_layers=layers, alignment_norm_first=False)
    alignment = CaanVisualAlignment(config, 32).eval()
    sketch, photo = torch.randn(2, 5, 32), torch.randn(2, 5, 32)
    aligned = alignment(sketch, photo)
    for sketch_block, photo_block in zip(alignment.sketch_layers, alignment.photo_layers, strict=True):
        mixed_sketch = post_norm(sketch_block, sketch, photo, values=sketch)
        sketch, photo = mixed_sketch, post_norm(photo_block, photo, sketch, values=photo)
    torch.testing.assert_close(aligned, (sketch, photo))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_sentence_of_only_padding_gives_finite_tokens(make_alignment, dtype, implementation):
    alignment = make_alignment(attn_implementation=implementation)
    visual, text, mask = inputs()
    with torch.autocast("cpu", dtype=dtype):
        assert alignment(visual, text, torch.zeros_like(mask)).isfinite().all()
    halved = alignment.to(dtype)
    assert halved(visual.to(dtype), text.to(dtype), torch.zeros_like(mask)).isfinite().all()


def test_feed_forward_has_the_configured_width(make_alignment):
    block = make_alignment(alignment_intermediate_size=12).layers[0].visual_from_text
    assert block.feed_forward.fc1.weight.shape == (12, 8)


def test_single_layer_trains_both_directions(make_alignment):
    alignment = make_alignment().train()
    alignment(*inputs()).sum().backward()
    assert all(parameter.grad is not None for parameter in alignment.parameters())


def test_dropout_applies_only_in_training(make_alignment):
    alignment = make_alignment(alignment_dropout=1.0)
    visual, text, mask = inputs()
    assert not torch.equal(alignment(visual, text, mask), visual)
    assert torch.equal(alignment.train()(visual, text, mask), visual)


def test_heads_that_do_not_divide_the_width_are_refused(make_alignment):
    with pytest.raises(ValueError, match="alignment_num_heads must divide the token width 8, got 3"):
        make_alignment(alignment_num_heads=3)
