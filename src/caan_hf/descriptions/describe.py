"""The Description Generation Module: a language model describes each category."""

import dataclasses
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from filelock import FileLock, Timeout

from caan_hf.errors import CaanError, first_line
from caan_hf.utils.files import unwritable
from caan_hf.utils.progress import progress_bar

from .cleaning import UnusableAnswer, clean_answer
from .generator import Answer, Generator, Question
from .options import DescribeOptions
from .prompts import PROMPTS
from .records import Description, read_descriptions, write_descriptions
from .spelling import fold

logger = logging.getLogger(__name__)

ATTEMPTS = 2
RECORD_START = b'{"category": '


@dataclass
class Report:
    """Results and cost of a run.

    Attributes:
        written: Number of records that were added to the file.
        kept: Number of records that were in the file before.
        requests: Number of requests to the model, including retries.
        prompt_tokens: Number of tokens sent.
        completion_tokens: Number of tokens received.
        unusable: Number of rejected answers by reason. Each question is asked at most twice.
        missing: Questions without a usable answer, with the reason.
    """

    written: int = 0
    kept: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    unusable: Counter[str] = field(default_factory=Counter)
    missing: dict[Question, str] = field(default_factory=dict)


def describe(
    categories: Sequence[str],
    out: Path,
    options: DescribeOptions,
    *,
    generator: Generator | None = None,
    report: Report | None = None,
    progress: bool = True,
) -> Report:
    """Generate every description that `out` does not contain yet.

    Each record is written to disk as soon as it arrives, so a killed run loses only the requests under way. At the
    end, the file is sorted by category, prompt and sample. A question with an unusable answer (a refusal, a list, a
    text that is cut off) is asked once more.

    Args:
        categories: Names of the categories.
        out: Description file, which is created or continued.
        options: The prompts, the number of samples, the limits and the language model.
        generator: The language model; by default it is created from `options`.
        report: Updated during the run, so that it is available after an error too.
        progress: Show a progress bar on a terminal.

    Raises:
        CaanError: `out` cannot be read or written, or the language model cannot be used. Answers received before are
            kept.
    """
    report = Report() if report is None else report
    count_tokens = _token_counter(options.text_tower)
    generator = _open_generator(options) if generator is None else generator
    with _locked(out):
        existing = _read_and_repair(out)
        report.kept = len(existing)
        questions = _missing_questions(categories, options, existing)
        try:
            with (
                out.open("a", encoding="utf-8") as stream,
                progress_bar("describing", len(questions), shown=progress) as advance,
            ):
                known = {record.key for record in existing}
                writer = _Writer(stream, report, known, generator.name, count_tokens, options.max_tokens)
                _ask(generator, questions, writer, advance)
        finally:
            _sort(out, categories)
    return report


def _missing_questions(
    categories: Sequence[str], options: DescribeOptions, existing: Sequence[Description]
) -> list[Question]:
    """The questions without an answer, by category, prompt and sample."""
    answered = Counter((fold(record.category), record.prompt_id) for record in existing)
    return [
        Question(category, prompt, sample)
        for category in categories
        for prompt in options.chosen_prompts()
        for sample in range(answered[fold(category), prompt.id], options.samples)
    ]


def estimated_tokens(text: str) -> int:
    """Estimated number of tokens if the tokenizer is not available: four per three words (our choice)."""
    return -(-4 * len(text.split()) // 3) + 2


def _open_generator(options: DescribeOptions) -> Generator:
    if options.local:
        from .local import LocalGenerator  # noqa: PLC0415 - imports torch

        return LocalGenerator(options)
    from .chat import ChatGenerator  # noqa: PLC0415

    return ChatGenerator(options)


def _token_counter(text_tower: str | None) -> Callable[[str], int]:
    if text_tower is None:
        return estimated_tokens
    from transformers import AutoTokenizer  # noqa: PLC0415 - takes seconds

    try:
        tokenizer = AutoTokenizer.from_pretrained(text_tower, trust_remote_code=False)
    except Exception as error:  # a damaged tokenizer.json raises many types of errors
        raise CaanError(f"--text-tower {text_tower}: the tokenizer cannot be loaded ({first_line(error)}).") from error
    return lambda text: len(tokenizer(text)["input_ids"])


def _ask(generator: Generator, questions: Sequence[Question], writer: "_Writer", advance: Callable[[], None]) -> None:
    for attempt in range(ATTEMPTS):
        asked = [dataclasses.replace(question, attempt=attempt) for question in questions]
        writer.report.missing.clear()
        for answer in generator.answers(asked):
            if writer.add(answer):
                advance()
        questions = [question for question in asked if question in writer.report.missing]
        if not questions:
            return


@dataclass
class _Writer:
    """Appends usable answers to the file and updates the report."""

    stream: TextIO
    report: Report
    known: set[tuple[str, str]]
    generator: str
    count_tokens: Callable[[str], int]
    max_tokens: int

    def add(self, answer: Answer) -> bool:
        """Write an answer to disk; False if it is not usable, which is recorded in the report."""
        self.report.requests += answer.requests
        self.report.prompt_tokens += answer.prompt_tokens
        self.report.completion_tokens += answer.completion_tokens
        try:
            record = self._record(answer)
        except UnusableAnswer as reason:
            self.report.unusable[str(reason)] += 1
            self.report.missing[answer.question] = str(reason)
            return False
        self.stream.write(record.to_line())
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self.known.add(record.key)
        self.report.written += 1
        return True

    def _record(self, answer: Answer) -> Description:
        if answer.error is not None:
            raise UnusableAnswer(answer.error)
        question = answer.question
        record = Description(
            category=question.category,
            text=clean_answer(answer.text, self.count_tokens, self.max_tokens),
            prompt_id=question.prompt.id,
            prompt=question.text,
            generator=self.generator,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        if record.key in self.known:
            raise UnusableAnswer("the same text as before")
        return record


def _read_and_repair(out: Path) -> list[Description]:
    """The records in the file. If its last line is incomplete, because a run was killed, it is completed or removed."""
    if not out.is_file():
        return []
    complete, newline, last = out.read_bytes().rpartition(b"\n")
    if _is_json(last):
        with out.open("ab") as stream:
            stream.write(b"\n")
    elif last and (last.startswith(RECORD_START) or RECORD_START.startswith(last)):
        os.truncate(out, len(complete + newline))
    # Any other last line belongs to a file of another kind, which `read_descriptions` refuses.
    return _read(out)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _read(out: Path) -> list[Description]:
    return read_descriptions(out) if out.is_file() and out.read_bytes().strip() else []


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Prevents two runs from writing the same file, which would lose answers.

    Raises:
        CaanError: Another run holds the lock, or the block cannot read or write the file.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(out.with_name(f".{out.name}.lock"), timeout=0):
            yield
    except Timeout:
        raise CaanError(f"{out}: another `caan describe` is writing it. Wait, or choose another --out.") from None
    except OSError as error:
        raise unwritable(out, error) from error


def _sort(out: Path, categories: Sequence[str]) -> None:
    """Sort the file by category and prompt, in their given order; other categories come first, in their old order."""
    category_rank = {fold(category): rank for rank, category in enumerate(categories)}
    prompt_rank = {prompt.id: rank for rank, prompt in enumerate(PROMPTS)}

    def place(record: Description) -> tuple[int, int]:
        category = category_rank.get(fold(record.category), -1)
        return category, prompt_rank.get(record.prompt_id, -1) if category >= 0 else -1

    try:
        records = _read(out)
        ordered = sorted(records, key=place)
        if ordered != records:
            write_descriptions(out, ordered)
    except (OSError, CaanError) as error:  # the file is complete, only its order is not
        logger.warning("%s: could not be sorted: %s", out, error)
