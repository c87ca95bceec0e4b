"""From a folder to a repository on the Hub: what changed, in one commit, or nothing at all."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoCard, get_token
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from caan_hf.errors import CaanError
from caan_hf.utils.hub import LOG_IN, hub_errors

CARD = "README.md"
MAIN = "main"
CHUNK = 1 << 20


@dataclass(frozen=True)
class Target:
    """Where a folder goes.

    Attributes:
        repo_id: owner and name.
        kind: "model", "dataset" or "space".
        revision: the branch, which is made where it is missing.
        private: make a new repository private, and refuse an old one that is public.
        sdk: of a Space.
    """

    repo_id: str
    kind: str = "model"
    revision: str = MAIN
    private: bool = False
    sdk: str | None = None


@dataclass(frozen=True)
class Change:
    """What a push does to a repository; paths are those in it.

    Attributes:
        url: of the repository.
        commit: the new commit, or the old one where nothing changed.
        added: new files.
        changed: files with another content than before.
        deleted: files of an earlier push that have no place any more.
        unchanged: how many files are there already.
        is_new_branch: whether the branch was made for it.
    """

    url: str
    commit: str
    added: tuple[str, ...]
    changed: tuple[str, ...]
    deleted: tuple[str, ...]
    unchanged: int
    is_new_branch: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether the repository held all of it before."""
        return not (self.added or self.changed or self.deleted)


def files_of(folder: Path) -> dict[str, Path]:
    """The files to push, by their path in the repository; hidden ones and Python's caches are left out."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(_is_private(part) for part in path.relative_to(folder).parts)
    }


def _is_private(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__" or name.endswith(".pyc")


def require_login() -> None:
    """Find out before the long part, not after it.

    Raises:
        CaanError: there is no token, or what is given cannot be one.
    """
    token = get_token()
    if token is None:
        raise CaanError(f"not logged in: {LOG_IN}")
    if not (token.isascii() and token.isprintable()):
        raise CaanError(f"the token holds a character that no token has: {LOG_IN}")


def publish(folder: Path, target: Target, *, message: str, is_ours: Callable[[str], bool]) -> Change:
    """Make the repository hold the files of a folder, in one commit on top of the state that was looked at.

    Large files go first and take part in no state until the commit; so whatever fails leaves every revision as it was.

    Args:
        folder: its files, see [`files_of`].
        target: where they go; a repository that is missing is made.
        message: of the commit.
        is_ours: whether a file that the folder lacks, given by its path in the repository, comes from an earlier push
            and is to go. What people put there by other ways stays.

    Raises:
        CaanError: the Hub refuses, cannot be reached, or somebody else pushed meanwhile.
    """
    files = files_of(folder)
    with hub_errors(target.repo_id):
        _check_card(folder, target)
        api = HfApi()
        _ensure_repository(api, target)
        branches = _branches(api, target)
        has_branch = target.revision in branches
        head = branches[target.revision if has_branch else MAIN]
        known = _remote_files(api, target, head)
        added = tuple(path for path in files if path not in known)
        changed = tuple(path for path in files if path in known and not _is_same(files[path], known[path]))
        deleted = tuple(path for path in known if path not in files and is_ours(path))
        url = f"{api.endpoint}/{'' if target.kind == 'model' else target.kind + 's/'}{target.repo_id}"
        additions = [CommitOperationAdd(path, str(files[path])) for path in (*added, *changed)]
        deletions = [CommitOperationDelete(path) for path in deleted]
        commit = _commit(api, target, additions, deletions, head=head, has_branch=has_branch, message=message)
    unchanged = len(files) - len(added) - len(changed)
    return Change(url, commit, added, changed, deleted, unchanged, is_new_branch=not has_branch)


def _check_card(folder: Path, target: Target) -> None:
    """Asks the Hub whether it takes the card's metadata, before anything is made or sent."""
    card = folder / CARD
    if not card.is_file():
        return
    try:
        RepoCard(card.read_text(encoding="utf-8"), ignore_metadata_errors=True).validate(repo_type=target.kind)
    except (ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise CaanError(f"{card.name}: {_complaint(error)}") from error


def _complaint(error: Exception) -> str:
    """What the Hub says is wrong with a card, out of its JSON."""
    try:
        return "; ".join(entry["message"] for entry in json.loads(str(error))["errors"])
    except (ValueError, KeyError, TypeError):
        return " ".join(str(error).split())


def _ensure_repository(api: HfApi, target: Target) -> None:
    try:
        info = api.repo_info(target.repo_id, repo_type=target.kind)
    except RepositoryNotFoundError:
        api.create_repo(target.repo_id, repo_type=target.kind, private=target.private or None, space_sdk=target.sdk)
        return
    if target.private and not info.private:
        raise CaanError(f"{target.repo_id} is public: make it private in its settings, or push without --private")


def _branches(api: HfApi, target: Target) -> dict[str, str]:
    refs = api.list_repo_refs(target.repo_id, repo_type=target.kind)
    if any(tag.name == target.revision for tag in refs.tags):
        raise CaanError(f"--revision {target.revision} is a tag of {target.repo_id}, which stays: give a branch")
    return {branch.name: branch.target_commit for branch in refs.branches}


def _remote_files(api: HfApi, target: Target, head: str) -> dict[str, RepoFile]:
    entries = api.list_repo_tree(target.repo_id, recursive=True, revision=head, repo_type=target.kind)
    return {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}


def _is_same(file: Path, remote: RepoFile) -> bool:
    size = file.stat().st_size
    if size != remote.size:
        return False
    if remote.lfs is not None:
        return digest(hashlib.sha256(), file) == remote.lfs.sha256
    return digest(hashlib.sha1(b"blob %d\0" % size), file) == remote.blob_id


def digest(hasher, file: Path) -> str:
    """What a `hashlib` object says of a file, in hexadecimal."""
    for chunk in _chunks(file):
        hasher.update(chunk)
    return hasher.hexdigest()


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def _commit(
    api: HfApi,
    target: Target,
    additions: list[CommitOperationAdd],
    deletions: list[CommitOperationDelete],
    *,
    head: str,
    has_branch: bool,
    message: str,
) -> str:
    """The commit that the branch points to afterwards."""
    place = {"repo_id": target.repo_id, "repo_type": target.kind}
    if additions:
        start = target.revision if has_branch else MAIN
        api.preupload_lfs_files(additions=additions, revision=start, free_memory=False, **place)
    if not has_branch:
        api.create_branch(branch=target.revision, revision=head, **place)
    if not (additions or deletions):
        return head
    try:
        made = api.create_commit(
            operations=[*additions, *deletions],
            commit_message=message,
            revision=target.revision,
            parent_commit=head,
            **place,
        )
    except BaseException:
        if not has_branch:  # made a moment ago, and still empty
            with suppress(HfHubHTTPError):
                api.delete_branch(branch=target.revision, **place)
        raise
    return made.oid
