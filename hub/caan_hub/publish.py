"""Push a folder to a repository on the Hub in one commit."""

import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from caan_hf.errors import CaanError, one_line
from caan_hf.utils.hub import hub_errors

CARD = "README.md"
MAIN = "main"


@dataclass(frozen=True)
class Target:
    """Destination of a push.

    Attributes:
        repo_id: Owner and name.
        kind: Repository type: "model", "dataset" or "space".
        revision: Branch; it is created if it does not exist.
        private: Create a new repository as private, and refuse an existing public one.
        sdk: SDK of a Space.
    """

    repo_id: str
    kind: str = "model"
    revision: str = MAIN
    private: bool = False
    sdk: str | None = None

    @property
    def place(self) -> dict[str, Any]:
        """Arguments that name the repository in calls of `HfApi`."""
        return {"repo_id": self.repo_id, "repo_type": self.kind}


@dataclass(frozen=True)
class Change:
    """Result of a push.

    Attributes:
        place: URL, branch and commit, for messages. Without changes, the commit is the previous one.
        files: "+" for an added file, "-" for a deleted and "~" for a changed one, by path.
    """

    place: str
    files: dict[str, str]


def files_of(folder: Path) -> dict[str, Path]:
    """The files of a folder by their path in the repository, without hidden files and Python caches."""
    files = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        path.as_posix(): file
        for path, file in files.items()
        if not any(part.startswith(".") or part == "__pycache__" for part in path.parts)
    }


def copy_files(files: Mapping[str, Path], folder: Path) -> None:
    """Copy files into a folder, to the path in the repository under which each is listed."""
    for path, file in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / path)


def publish(folder: Path, target: Target, *, message: str, replaces: re.Pattern[str]) -> Change:
    """Make a repository contain the files of a folder, in one commit.

    `HfApi.create_commit` sends only content that the repository does not have, and makes no commit if nothing changed.
    `HfApi.upload_folder` is not used, because it may split an upload into several commits. Large files are uploaded
    before the commit and belong to no revision until then, so that a push that fails changes no revision.

    Args:
        folder: The folder; see [`files_of`].
        target: Destination. The repository is created if it does not exist.
        message: Commit message.
        replaces: Paths of the files that this kind of push writes. Files that match and are not in the folder are
            deleted. All other files of the repository are kept.

    Raises:
        CaanError: The Hub refuses a request or cannot be reached, or another push changed the branch meanwhile.
    """
    files = files_of(folder)
    with hub_errors(target.repo_id):
        api = HfApi()
        _ensure_repository(api, target)
        branches = _branches(api, target)
        is_new_branch = target.revision not in branches
        head = branches[MAIN if is_new_branch else target.revision]
        before = _blobs(api, target, head)
        additions = [CommitOperationAdd(path, str(file)) for path, file in files.items()]
        deletions = [CommitOperationDelete(path) for path in before if path not in files and replaces.fullmatch(path)]
        if is_new_branch:
            api.create_branch(branch=target.revision, revision=head, **target.place)
        try:
            commit = api.create_commit(
                operations=[*additions, *deletions],
                commit_message=message,
                revision=target.revision,
                parent_commit=head,
                **target.place,
            )
        except BaseException as error:
            if is_new_branch:
                with suppress(HfHubHTTPError):
                    api.delete_branch(branch=target.revision, **target.place)
            if isinstance(error, ValueError):  # the Hub refuses the metadata of the card
                raise CaanError(f"{target.repo_id}: {one_line(error)}") from error
            raise
        after = _blobs(api, target, commit.oid)
    signs = {path: "+" if path not in before else "-" if path not in after else "~" for path in sorted(before | after)}
    return Change(
        f"{commit.repo_url} at {target.revision} ({commit.oid[:10]})",
        {path: sign for path, sign in signs.items() if before.get(path) != after.get(path)},
    )


def _ensure_repository(api: HfApi, target: Target) -> None:
    try:
        info = api.repo_info(**target.place)
    except RepositoryNotFoundError:
        api.create_repo(**target.place, private=target.private or None, space_sdk=target.sdk)
        return
    if target.private and not info.private:
        raise CaanError(
            f"--private: {target.repo_id} is public. Make it private in its settings, or push without --private."
        )


def _branches(api: HfApi, target: Target) -> dict[str, str]:
    refs = api.list_repo_refs(**target.place)
    if any(tag.name == target.revision for tag in refs.tags):
        raise CaanError(f"--revision {target.revision}: is a tag of {target.repo_id}. Give the name of a branch.")
    return {branch.name: branch.target_commit for branch in refs.branches}


def _blobs(api: HfApi, target: Target, revision: str) -> dict[str, str]:
    """Path and git blob id of every file, which identifies its content."""
    entries = api.list_repo_tree(recursive=True, revision=revision, **target.place)
    return {entry.path: entry.blob_id for entry in entries if isinstance(entry, RepoFile)}
