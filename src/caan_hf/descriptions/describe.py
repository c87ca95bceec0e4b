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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from caan_hf.errors import CaanError, first_line
from caan_hf.utils.files import unwritable
from caan_hf.utils.progress import progress_bar

from .chat import ChatGenerator
from .cleaning import UnusableAnswer, clean_answer
from .options import DescribeOptions
from .prompts import PROMPTS, Answer, Question
from .records import Description, read_descriptions, write_descriptions
from .spelling import fold

if TYPE_CHECKING:
    from .local import LocalGenerator

    Generator = ChatGenerator | LocalGenerator

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
    generator: "Generator | None" = None,
    report: Report | None = None,
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
            with out.open("a", encoding="utf-8") as stream, progress_bar("describing", len(questions)) as advance:
                clean = partial(clean_answer, count_tokens=count_tokens, max_tokens=options.max_tokens)
                for record in _new_records(generator, questions, {record.key for record in existing}, clean, report):
                    stream.write(record.to_line())
                    stream.flush()
                    os.fsync(stream.fileno())
                    report.written += 1
                    advance()
        finally:
            _sort(out, categories)
    return report


def _new_records(
    generator: "Generator",
    questions: list[Question],
    known: set[tuple[str, str]],
    clean: Callable[[str], str],
    report: Report,
) -> Iterator[Description]:
    """The usable answers, which are added to `known`. Everything but the number written is added to the report."""
    for attempt in range(ATTEMPTS):
        report.missing.clear()
        questions = [dataclasses.replace(question, attempt=attempt) for question in questions]
        for answer in generator.answers(questions):
            report.requests += answer.requests
            report.prompt_tokens += answer.prompt_tokens
            report.completion_tokens += answer.completion_tokens
            try:
                record = _record(answer, generator.name, clean)
                if record.key in known:
                    raise UnusableAnswer("the same text as before")
            except UnusableAnswer as reason:
                report.unusable[str(reason)] += 1
                report.missing[answer.question] = str(reason)
            else:
                known.add(record.key)
                yield record
        questions = [question for question in questions if question in report.missing]
        if not questions:
            return


def _record(answer: Answer, generator: str, clean: Callable[[str], str]) -> Description:
    if answer.error is not None:
        raise UnusableAnswer(answer.error)
    return Description(
        category=answer.question.category,
        text=clean(answer.text),
        prompt_id=answer.question.prompt.id,
        prompt=answer.question.text,
        generator=generator,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


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


def _open_generator(options: DescribeOptions) -> "Generator":
    if not options.local:
        return ChatGenerator(options)
    from .local import LocalGenerator  # noqa: PLC0415 - imports torch

    return LocalGenerator(options)


def _token_counter(text_tower: str | None) -> Callable[[str], int]:
    if text_tower is None:
        return estimated_tokens
    from transformers import AutoTokenizer  # noqa: PLC0415 - takes seconds

    from caan_hf.utils.hub import limit_waiting  # noqa: PLC0415

    limit_waiting()
    try:
        tokenizer = AutoTokenizer.from_pretrained(text_tower, trust_remote_code=False)
    except Exception as error:  # a damaged tokenizer.json raises many types of errors
        raise CaanError(f"--text-tower {text_tower}: the tokenizer cannot be loaded ({first_line(error)}).") from error
    return lambda text: len(tokenizer(text)["input_ids"])


def _read_and_repair(out: Path) -> list[Description]:
    """The records in the file. If its last line is incomplete, because a run was killed, it is completed or removed."""
    if not out.exists():
        return []
    complete, newline, last = out.read_bytes().rpartition(b"\n")
    try:
        json.loads(last)
    except (ValueError, RecursionError):
        # Any other last line belongs to a file of another kind, which `read_descriptions` refuses.
        if last and (last.startswith(RECORD_START) or RECORD_START.startswith(last)):
            os.truncate(out, len(complete + newline))
    else:
        with out.open("ab") as stream:
            stream.write(b"\n")
    return _read(out)


def _read(out: Path) -> list[Description]:
    return read_descriptions(out) if out.read_bytes().strip() else []


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
        if records != (ordered := sorted(records, key=place)):
            write_descriptions(out, ordered)
    except (OSError, CaanError) as error:  # the file is complete, only its order is not
        logger.warning("%s: could not be sorted: %s", out, error)
