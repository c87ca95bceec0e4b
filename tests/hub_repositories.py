"""Repositories of the local Hub server: commits, branches and tags, in memory."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

LFS_SUFFIXES = (".safetensors", ".onnx", ".parquet", ".bin", ".png", ".jpg", ".jpeg", ".zip", ".pt")
LFS_SIZE = 10_000_000
GITATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES)


@dataclass(frozen=True)
class Blob:
    """Content of a file, and whether it is in large file storage."""

    data: bytes
    lfs: bool = False

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def git_oid(self) -> str:
        """Id of the git blob, which is a pointer for files in large file storage."""
        stored = self.data
        if self.lfs:
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.data)}\n"
            stored = pointer.encode()
        return hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.git_oid


@dataclass(frozen=True)
class Commit:
    """A commit; `files` maps paths to blobs."""

    files: dict[str, Blob]
    parent: str | None
    title: str

    @cached_property
    def sha(self) -> str:
        tree = "".join(f"{path} {blob.git_oid}\n" for path, blob in sorted(self.files.items()))
        return hashlib.sha1(f"{self.parent} {self.title}\n{tree}".encode()).hexdigest()


@dataclass
class Repository:
    """A model, dataset or Space."""

    kind: str  # model, dataset or space
    id: str
    private: bool = False
    sdk: str | None = None
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)  # name -> sha
    tags: dict[str, str] = field(default_factory=dict)
    variables: dict[str, dict] = field(default_factory=dict)

    def __post_init__(self):
        self.commit("main", "initial commit", {".gitattributes": Blob(GITATTRIBUTES.encode())})

    @property
    def owner(self) -> str:
        return self.id.partition("/")[0]

    def find(self, revision: str) -> Commit | None:
        """The commit of a branch, a tag, or a sha or its first characters."""
        sha = self.branches.get(revision) or self.tags.get(revision) or revision
        if sha in self.commits:
            return self.commits[sha]
        begun = [commit for known, commit in self.commits.items() if len(sha) >= 7 and known.startswith(sha)]
        return begun[0] if begun else None

    def commit(self, branch: str, title: str, files: dict[str, Blob]) -> Commit:
        """Add a commit to a branch."""
        commit = Commit(files, self.branches.get(branch), title)
        self.commits[commit.sha] = commit
        self.branches[branch] = commit.sha
        return commit

    def history(self, branch: str = "main") -> list[Commit]:
        """Commits of a branch, newest first."""
        found, sha = [], self.branches[branch]
        while sha is not None:
            found.append(self.commits[sha])
            sha = self.commits[sha].parent
        return found

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Content of each file by path, without the `.gitattributes` that the Hub creates."""
        blobs = self.find(revision).files
        return {path: blob.data for path, blob in blobs.items() if path != ".gitattributes"}


def upload_mode(path: str, size: int, sample: bytes) -> str:
    """Upload mode of a file: large file storage depends on its name, its size and whether it is text."""
    is_large = path.lower().endswith(LFS_SUFFIXES) or size >= LFS_SIZE or b"\0" in sample
    return "lfs" if is_large else "regular"


def tree(files: dict[str, Blob], folder: str, *, recursive: bool) -> list[dict]:
    """The entries of a folder, as the tree endpoint lists them."""
    prefix = f"{folder.strip('/')}/" if folder else ""
    entries = []
    for path, blob in sorted(files.items()):
        if not path.startswith(prefix):
            continue
        inside, slash, _ = path.removeprefix(prefix).partition("/")
        if slash:
            directory = {"type": "directory", "oid": "0" * 40, "size": 0, "path": prefix + inside}
            if directory not in entries:
                entries.append(directory)
        if recursive or not slash:
            entry = {"type": "file", "oid": blob.git_oid, "size": len(blob.data), "path": path}
            lfs = {"oid": blob.sha256, "size": len(blob.data), "pointerSize": 128}
            entries.append(entry | ({"lfs": lfs} if blob.lfs else {}))
    return entries
