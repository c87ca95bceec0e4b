"""Asks a `transformers` text-generation model on this machine."""

from collections.abc import Iterator, Sequence

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

from caan_hf.errors import CaanError

from .generator import Answer, Question
from .prompts import INSTRUCTIONS


class LocalGenerator:
    """A causal language model, on a GPU if there is one.

    Args:
        model: Hub id or folder; weights are read from safetensors, no code is taken from there.
        batch_size: questions answered at once.
        max_new_tokens: the longest answer, in tokens of the model.
        temperature: 0 for the likeliest answer.
        seed: of the sampling; the answers are the same again for the same questions in the same batches.
    """

    def __init__(
        self,
        model: str,
        *,
        batch_size: int = 4,
        max_new_tokens: int = 200,
        temperature: float = 0.7,
        seed: int = 0,
    ):
        self.name = model.rstrip("/").rpartition("/")[2] if model.startswith((".", "/")) else model
        self.batch_size = batch_size
        self.seed = seed
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left", trust_remote_code=False)
            self.model = AutoModelForCausalLM.from_pretrained(
                model, dtype="auto", use_safetensors=True, trust_remote_code=False
            ).eval()
        except Exception as error:  # damaged weights or tokenizers raise almost anything
            raise CaanError(f"{model}: cannot be loaded as a text-generation model ({_first_line(error)})") from error
        self.model.to("cuda" if torch.cuda.is_available() else "cpu")
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token or self.tokenizer.unk_token
        if self.tokenizer.pad_token is None:
            raise CaanError(f"{model}: its tokenizer has neither a padding nor an end token; use another model")
        self.options = {"max_new_tokens": max_new_tokens, "pad_token_id": self.tokenizer.pad_token_id}
        self.options |= {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}

    def answers(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """See `Generator.answers`; `batch_size` questions are answered at once."""
        for start in range(0, len(questions), self.batch_size):
            try:
                answers = self._answer_batch(questions[start : start + self.batch_size])
            except Exception as error:  # a context that is too short, a chat template that refuses, no memory left
                raise CaanError(f"{self.name}: cannot answer ({_first_line(error)})") from error
            yield from answers

    @torch.inference_mode()
    def _answer_batch(self, questions: Sequence[Question]) -> list[Answer]:
        prompts = [self._prompt(question) for question in questions]
        begins = self.tokenizer.chat_template is None  # a chat template writes its own first token
        inputs = self.tokenizer(prompts, padding=True, add_special_tokens=begins, return_tensors="pt")
        inputs = inputs.to(self.model.device)
        set_seed(questions[0].seed(self.seed))
        written = self.model.generate(**inputs, **self.options)[:, inputs["input_ids"].shape[1] :]  # (B, T)
        texts = self.tokenizer.batch_decode(written, skip_special_tokens=True)
        sent = inputs["attention_mask"].sum(dim=1).tolist()
        lengths = (written != self.tokenizer.pad_token_id).sum(dim=1).tolist()
        return [
            Answer(question, text, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
            for question, text, prompt_tokens, completion_tokens in zip(questions, texts, sent, lengths, strict=True)
        ]

    def _prompt(self, question: Question) -> str:
        if self.tokenizer.chat_template is None:
            return f"{INSTRUCTIONS}\n\nQuestion: {question.text}\nAnswer:"
        # No system message: the templates of some models (Gemma) refuse one.
        messages = [{"role": "user", "content": f"{INSTRUCTIONS}\n\n{question.text}"}]
        return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
