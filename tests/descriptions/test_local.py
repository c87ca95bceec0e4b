"""The local generator, with a tiny untrained `transformers` model."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from caan_hf.descriptions.local import LocalGenerator
from caan_hf.descriptions.options import DescribeOptions
from caan_hf.descriptions.prompts import PROMPTS, Question
from caan_hf.errors import CaanError

QUESTIONS = [Question(name, prompt, 0) for name in ("bee", "alarm clock") for prompt in PROMPTS[:2]]
TEMPLATE = "{% for message in messages %}user: {{ message.content }}{% endfor %} assistant:"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llm")
    words = ["<unk>", "<eos>", *(f"w{number}" for number in range(50)), *"abcdefghijklmnopqrstuvwxyz"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<eos>")
    tokenizer.save_pretrained(folder)
    config = GPT2Config(vocab_size=len(words), n_positions=512, n_embd=16, n_layer=1, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("template", [None, TEMPLATE], ids=["plain", "chat"])
def test_the_same_seed_gives_the_same_answers(folder, template):
    def ask(seed):
        generator = LocalGenerator(DescribeOptions(str(folder), concurrency=3, max_new_tokens=7, seed=seed))
        generator.tokenizer.chat_template = template
        return list(generator.answers(QUESTIONS))

    first, again, other = ask(0), ask(0), ask(1)
    assert [answer.question for answer in first] == QUESTIONS
    assert [answer.text for answer in first] == [answer.text for answer in again]
    assert [answer.text for answer in first] != [answer.text for answer in other]
    assert all(1 <= answer.completion_tokens <= 7 and answer.prompt_tokens > 20 for answer in first)


def test_answers_do_not_depend_on_the_batch_size(folder):
    def ask(batch_size):
        options = DescribeOptions(str(folder), concurrency=batch_size, max_new_tokens=7, temperature=0)
        generator = LocalGenerator(options)
        return [answer.text for answer in generator.answers(QUESTIONS)]

    assert ask(1) == ask(4)


def test_a_missing_model_is_one_clear_error(tmp_path):
    with pytest.raises(CaanError, match="cannot be loaded as a text-generation model"):
        LocalGenerator(DescribeOptions(str(tmp_path)))
