"""Generates descriptions with a `transformers` language model on this machine."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

from caan_hf.errors import CaanError, first_line
from caan_hf.utils.hub import limit_waiting
from caan_hf.utils.prefetch import batched

from .options import DescribeOptions
from .prompts import INSTRUCTIONS, Answer, Question


class LocalGenerator:
    """A causal language model, on the GPU if there is one.

    Args:
        options: `model` is a Hub id or folder with safetensors weights; code in it is not executed. `concurrency` is
            the batch size. The same seed gives the same answers for the same questions in the same batches.

    Raises:
        CaanError: The model cannot be loaded.
    """

    def __init__(self, options: DescribeOptions):
        model = options.model
        self.name = model.rstrip("/").rpartition("/")[2] if model.startswith((".", "/")) else model
        self.batch_size, self.seed = options.concurrency, options.seed
        limit_waiting()
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left", trust_remote_code=False)
            self.model = AutoModelForCausalLM.from_pretrained(
                model, dtype="auto", use_safetensors=True, trust_remote_code=False
            ).eval()
        except Exception as error:  # damaged weights and tokenizers raise many types of errors
            raise CaanError(f"{model}: cannot be loaded as a text-generation model ({first_line(error)}).") from error
        self.model.to("cuda" if torch.cuda.is_available() else "cpu")
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token or self.tokenizer.unk_token
        if self.tokenizer.pad_token is None:
            raise CaanError(f"{model}: the tokenizer has neither a padding nor an end token. Use another model.")
        self.generation: dict[str, Any] = {
            "max_new_tokens": options.max_new_tokens,
            "pad_token_id": self.tokenizer.pad_token_id,
            "do_sample": options.temperature > 0,
        }
        if options.temperature > 0:
            self.generation["temperature"] = options.temperature

    def answers(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """The answer to each question, as soon as its batch is complete.

        Raises:
            CaanError: The model cannot generate answers.
        """
        for batch in batched(questions, self.batch_size):
            try:
                answers = self._answer_batch(batch)
            except Exception as error:  # a context that is too short, an error in the chat template, out of memory
                raise CaanError(f"{self.name}: cannot generate an answer ({first_line(error)}).") from error
            yield from answers

    @torch.inference_mode()
    def _answer_batch(self, questions: Sequence[Question]) -> list[Answer]:
        prompts = [self._prompt(question) for question in questions]
        has_template = self.tokenizer.chat_template is not None  # a chat template adds the first token itself
        inputs = self.tokenizer(prompts, padding=True, add_special_tokens=not has_template, return_tensors="pt")
        inputs = inputs.to(self.model.device)
        set_seed(questions[0].seed(self.seed))
        tokens = self.model.generate(**inputs, **self.generation)[:, inputs["input_ids"].shape[1] :]  # (B, T)
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        sent = inputs["attention_mask"].sum(dim=1).tolist()
        received = (tokens != self.tokenizer.pad_token_id).sum(dim=1).tolist()
        return [
            Answer(question, text, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
            for question, text, prompt_tokens, completion_tokens in zip(questions, texts, sent, received, strict=True)
        ]

    def _prompt(self, question: Question) -> str:
        if self.tokenizer.chat_template is None:
            return f"{INSTRUCTIONS}\n\nQuestion: {question.text}\nAnswer:"
        messages = [{"role": "user", "content": question.message}]
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
