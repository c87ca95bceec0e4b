"""The Description Generation Module: asks a language model about each category and keeps what it says."""

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

from caan_hf.errors import CaanError
from caan_hf.progress import progress_bar

from .cleaning import UnusableAnswer, clean_answer
from .generator import Answer, Generator, Question
from .prompts import PROMPTS, Prompt
from .records import Description, read_descriptions, write_descriptions
from .spelling import fold

logger = logging.getLogger(__name__)

MAX_TOKENS = 77  # the context of CLIP's text tower, and `CaanProcessor.max_text_length`
ATTEMPTS = 2
OWN_LINE = b'{"category": '  # how a record begins


@dataclass
class Report:
    """What a run did, and what it cost.

    Attributes:
        written: records added to the file.
        kept: records that were there already.
        requests: how often the model was asked, retries counted.
        prompt_tokens: tokens sent.
        completion_tokens: tokens written by the model.
        unusable: reasons for which answers were thrown away, and how many; each question is asked once more.
        missing: the questions that are still without a usable answer, each with the reason.
    """

    written: int = 0
    kept: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    unusable: Counter[str] = field(default_factory=Counter)
    missing: dict[Question, str] = field(default_factory=dict)


def estimated_tokens(text: str) -> int:
    """Tokens of a text for a tokenizer that is not at hand: four for every three words, at least (our choice)."""
    return -(-4 * len(text.split()) // 3) + 2


def plan(
    categories: Sequence[str], prompts: Sequence[Prompt], samples: int, existing: Sequence[Description] = ()
) -> list[Question]:
    """What is still to be asked, in a fixed order: by category, prompt and sample.

    Args:
        categories: in the order in which they are asked.
        prompts: likewise.
        samples: how many answers each question gets.
        existing: records of which nothing is asked again.
    """
    answered = Counter((fold(record.category), record.prompt_id) for record in existing)
    return [
        Question(category, prompt, sample)
        for category in categories
        for prompt in prompts
        for sample in range(answered[fold(category), prompt.id], samples)
    ]


def describe(
    categories: Sequence[str],
    generator: Generator,
    out: Path,
    *,
    prompts: Sequence[Prompt] = PROMPTS,
    samples: int = 1,
    count_tokens: Callable[[str], int] = estimated_tokens,
    max_tokens: int = MAX_TOKENS,
    progress: bool = True,
    report: Report | None = None,
) -> Report:
    """Asks for every description that `out` does not hold yet.

    Each record is on disk before the next is waited for, so that a kill loses what is under way and nothing else; at
    the end the file is put into the order of `categories`, `prompts` and samples. A question whose answer is of no use
    (refused, a list, cut off) is asked once more.

    Args:
        categories: what to describe.
        generator: the language model.
        out: a JSONL file, made or continued.
        prompts: the questions.
        samples: answers to each question.
        count_tokens: tokens of the text tower in a text.
        max_tokens: the most of them in a description.
        progress: show a progress bar on a terminal.
        report: filled in as the run goes on, for those who want to know even of one that was stopped.

    Raises:
        CaanError: `out` cannot be read or written, or the generator is of no use; what was answered is kept.
    """
    report = Report() if report is None else report
    with _locked(out):
        existing = _continue(out)
        report.kept = len(existing)
        questions = plan(categories, prompts, samples, existing)
        try:
            with _appending(out) as stream, progress_bar("describing", len(questions), shown=progress) as advance:
                said = {record.key for record in existing}
                book = _Book(stream, report, said, generator.name, count_tokens, max_tokens)
                _ask(generator, questions, book, advance)
        finally:
            _sort(out, categories)
    return report


def _ask(generator: Generator, questions: Sequence[Question], book: "_Book", advance: Callable[[], None]) -> None:
    for attempt in range(ATTEMPTS):
        asked = [dataclasses.replace(question, attempt=attempt) for question in questions]
        book.report.missing.clear()
        for answer in generator.answers(asked):
            if book.take(answer):
                advance()
        questions = [question for question in asked if question in book.report.missing]
        if not questions:
            return


@dataclass
class _Book:
    """Where answers are written down as they come."""

    stream: TextIO
    report: Report
    said: set[tuple[str, str]]
    generator: str
    count_tokens: Callable[[str], int]
    max_tokens: int

    def take(self, answer: Answer) -> bool:
        """Writes an answer to disk, or its question among the missing ones; tells which of the two."""
        self.report.requests += answer.requests
        self.report.prompt_tokens += answer.prompt_tokens
        self.report.completion_tokens += answer.completion_tokens
        try:
            record = self._record(answer)
        except UnusableAnswer as reason:
            self.report.unusable[str(reason)] += 1
            self.report.missing[answer.question] = str(reason)
            return False
        self._append(record)
        self.said.add(record.key)
        self.report.written += 1
        return True

    def _record(self, answer: Answer) -> Description:
        if answer.error is not None:
            raise UnusableAnswer(answer.error)
        question = answer.question
        record = Description(
            question.category,
            clean_answer(answer.text, self.count_tokens, self.max_tokens),
            prompt_id=question.prompt.id,
            prompt=question.text,
            generator=self.generator,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        if record.key in self.said:
            raise UnusableAnswer("the same text as before")
        return record

    def _append(self, record: Description) -> None:
        try:
            self.stream.write(record.to_line())
            self.stream.flush()
            os.fsync(self.stream.fileno())
        except OSError as error:
            raise CaanError(f"{self.stream.name} cannot be written: {error}") from error


def _continue(out: Path) -> list[Description]:
    """The records that are there; a last line that a kill left half-written is cut off."""
    try:
        data = out.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CaanError(f"{out} cannot be read: {error}") from error
    whole, newline, last = data.rpartition(b"\n")
    if last.strip():
        _end_last_line(out, last, keep=len(whole + newline))
    return _read(out)


def _end_last_line(out: Path, last: bytes, keep: int) -> None:
    """A last line without its end gets one if it is JSON, and goes if it is the half of a record.

    Whatever else it is belongs to somebody else's file, which `read_descriptions` then refuses.
    """
    try:
        if _is_json(last):
            with out.open("ab") as stream:
                stream.write(b"\n")
        elif last.startswith(OWN_LINE) or OWN_LINE.startswith(last):
            os.truncate(out, keep)
    except OSError as error:
        raise CaanError(f"{out} cannot be written: {error}") from error


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
    """Two runs that write one file would lose each other's answers."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out.with_name(f".{out.name}.lock"), timeout=0)
        lock.acquire()
    except Timeout:
        raise CaanError(
            f"{out}: another `caan describe` is writing it: wait for its end, or choose another --out"
        ) from None
    except OSError as error:
        raise CaanError(f"{out} cannot be written: {error}") from error
    with lock:
        yield


@contextmanager
def _appending(out: Path) -> Iterator[TextIO]:
    try:
        with out.open("a", encoding="utf-8") as stream:
            yield stream
    except OSError as error:
        raise CaanError(f"{out} cannot be written: {error}") from error


def _sort(out: Path, categories: Sequence[str]) -> None:
    """By category, then prompt; other categories come first; samples among themselves stay as they are."""
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
    except (OSError, CaanError) as error:  # in this order or another, every answer is there
        logger.warning(f"{out} could not be put into order: {error}")
