"""A local server with the HTTP API of the Hub for the real `huggingface_hub` client, with faults on demand.

Large files are uploaded by LFS. The real Hub prefers Xet, which has no public protocol, so clients need
`HF_HUB_DISABLE_XET=1`. `client_environment` returns it and the other variables that a fresh process needs.
"""

import json
import os
import re
import threading
import time
from base64 import b64decode
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from hub_card_rules import problems
from hub_faults import Fault, FaultyApp
from hub_repositories import Blob, Commit, Repository, tree, upload_mode

KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
DATE = "2026-11-24T12:00:00.000Z"
WRITE, READ, STRANGER = "hf_write", "hf_read", "hf_stranger"  # tokens
USERS = {WRITE: ("me", "write"), READ: ("me", "read"), STRANGER: ("stranger", "write")}


class HubServer:
    """The server. `with HubServer() as server:` runs it in a thread.

    Attributes:
        repositories: Repositories by kind and id.
        requests: Method and path of every request so far.
        faults: Faults of requests.
        stopping: Set when the server stops, which ends requests that are held.
    """

    def __init__(self):
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.requests: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self.large: dict[str, bytes] = {}  # content by sha256, committed or not
        self.lock = threading.Lock()
        self.stopping = threading.Event()

    def __enter__(self) -> "HubServer":
        config = uvicorn.Config(FaultyApp(self, _app(self)), port=0, log_level="critical", lifespan="off")
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, daemon=True)
        self._thread.start()
        while not self._uvicorn.started:
            time.sleep(0.01)
        self.port = self._uvicorn.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *error):
        self.stopping.set()
        self._uvicorn.should_exit = True
        self._uvicorn.force_exit = True
        self._thread.join(timeout=10)

    @property
    def url(self) -> str:
        """URL of the server."""
        return f"http://127.0.0.1:{self.port}"

    def repository(self, repo_id: str, kind: str = "model") -> Repository:
        """The repository with this id."""
        return self.repositories[kind, repo_id]

    def store(self, folder: Path) -> dict[str, Blob]:
        """The files of a folder, for a commit. Safetensors are put into large file storage."""
        files = {file.name: Blob(file.read_bytes(), lfs=file.suffix == ".safetensors") for file in folder.iterdir()}
        self.large |= {blob.sha256: blob.data for blob in files.values() if blob.lfs}
        return files

    def forget(self) -> None:
        """Remove all repositories, faults and recorded requests."""
        self.faults.clear()
        self.repositories.clear()
        self.requests.clear()

    def fail(self, method: str, path: str, **how) -> Fault:
        """Add a fault; see [`Fault`] for the arguments."""
        self.faults.append(Fault(method, path, **how))
        return self.faults[-1]

    def client_environment(self, home: Path, token: str | None = WRITE) -> dict[str, str]:
        """Environment of a process that uses this server as the Hub, with its caches in `home`."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment |= {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONWARNINGS": "default",
            "no_proxy": "127.0.0.1,localhost",
        }
        return environment | ({"HF_TOKEN": token} if token else {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"})


class _Refused(Exception):
    def __init__(self, status: int, message: str, code: str | None = None):
        self.status, self.message, self.code = status, message, code


def _app(server: HubServer) -> FastAPI:  # noqa: PLR0915 (a table of endpoints)
    app = FastAPI(openapi_url=None)

    @app.exception_handler(_Refused)
    def refuse(_, error: _Refused):
        headers = {"X-Error-Message": error.message} | ({"X-Error-Code": error.code} if error.code else {})
        return JSONResponse({"error": error.message}, error.status, headers)

    def user(request: Request, *, writes: bool = False) -> str | None:
        header = request.headers.get("authorization")
        if header is None:
            if writes:
                raise _Refused(401, "Invalid username or password.")
            return None
        name, role = USERS.get(header.removeprefix("Bearer "), (None, None))
        if name is None:
            raise _Refused(401, "Invalid credentials in Authorization header")
        if writes and role != "write":
            raise _Refused(403, "You don't have the rights to write with this token")
        return name

    def found(request: Request, kind: str, repo_id: str, *, writes: bool = False) -> Repository:
        name = user(request, writes=writes)
        repository = server.repositories.get((kind, repo_id))
        if repository is None or (repository.private and repository.owner != name):
            raise _Refused(404 if name else 401, "Repository not found", "RepoNotFound")
        if writes and repository.owner != name:
            raise _Refused(403, f"You don't have write access to {repo_id}")
        return repository

    def at(repository: Repository, revision: str) -> Commit:
        commit = repository.find(revision)
        if commit is None:
            raise _Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    @app.get("/api/whoami-v2")
    def whoami(request: Request):
        name = user(request)
        if name is None:
            raise _Refused(401, "Invalid username or password.")
        return {"type": "user", "name": name, "orgs": [], "auth": {"type": "access_token"}}

    @app.post("/api/validate-yaml")
    async def validate(request: Request):
        body = await request.json()
        wrong = problems(body["content"], body["repoType"])
        errors = [{"message": message} for message in wrong]
        return JSONResponse({"errors": errors, "warnings": []}, 400 if wrong else 200)

    @app.post("/api/repos/create")
    async def create(request: Request):
        name, body = user(request, writes=True), await request.json()
        owner = body.get("organization") or name
        if owner != name:
            raise _Refused(403, f"You don't have the rights to create a repository under the namespace {owner}")
        kind, repo_id = body.get("type", "model"), f"{owner}/{body['name']}"
        url = f"{server.url}/{'' if kind == 'model' else kind + 's/'}{repo_id}"
        with server.lock:
            if (kind, repo_id) in server.repositories:
                message = "You already created this repository"
                return JSONResponse({"error": message, "url": url}, 409, {"X-Error-Message": message})
            private = body.get("visibility") == "private"
            server.repositories[kind, repo_id] = Repository(kind, repo_id, private, body.get("sdk"))
        return {"url": url, "name": repo_id, "id": repo_id, "private": private}

    @app.post("/api/{kind}/{owner}/{name}/preupload/{revision:path}")
    async def preupload(request: Request, kind: str, owner: str, name: str, revision: str):
        repository = found(request, KINDS[kind], f"{owner}/{name}", writes=True)
        files, answer = at(repository, revision).files, []
        for entry in (await request.json())["files"]:
            mode = upload_mode(entry["path"], entry["size"], b64decode(entry.get("sample", "")))
            known = files.get(entry["path"])
            oid = known and known.etag
            answer.append({"path": entry["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return {"files": answer}

    @app.post("/{path:path}.git/info/lfs/objects/batch")
    async def lfs_batch(request: Request, path: str):
        prefix, _, repo_id = path.partition("/") if path.count("/") == 2 else ("models", "", path)
        found(request, KINDS[prefix], repo_id, writes=True)
        objects = []
        for wanted in (await request.json())["objects"]:
            answer = {"oid": wanted["oid"], "size": wanted["size"], "authenticated": True}
            if wanted["oid"] not in server.large:
                answer["actions"] = {"upload": {"href": f"{server.url}/lfs/{path}/{wanted['oid']}", "header": {}}}
            objects.append(answer)
        return {"transfer": "basic", "objects": objects}

    @app.put("/lfs/{path:path}/{oid}")
    async def lfs_upload(request: Request, path: str, oid: str):
        data = await request.body()
        if Blob(data).sha256 != oid:
            raise _Refused(400, "the content does not have the announced sha256")
        server.large[oid] = data
        return Response()

    @app.post("/api/{kind}/{owner}/{name}/commit/{revision:path}")
    async def commit(request: Request, kind: str, owner: str, name: str, revision: str):
        repository = found(request, KINDS[kind], f"{owner}/{name}", writes=True)
        lines = [json.loads(line) for line in (await request.body()).splitlines() if line.strip()]
        with server.lock:
            if revision not in repository.branches:
                raise _Refused(404, f"{revision} is not a branch", "RevisionNotFound")
            head = repository.find(revision)
            files, title = dict(head.files), "no title"
            for line in lines:
                title = _apply(server, head, files, line) or title
            readme = files.get("README.md")
            wrong = problems(readme.data.decode(), repository.kind) if readme else []
            if wrong:
                raise _Refused(400, "; ".join(wrong))
            made = repository.commit(revision, title, files)
        return {"success": True, "commitOid": made.sha, "commitUrl": f"{server.url}/{owner}/{name}/commit/{made.sha}"}

    @app.post("/api/{kind}/{owner}/{name}/branch/{branch:path}")
    async def branch(request: Request, kind: str, owner: str, name: str, branch: str):
        repository = found(request, KINDS[kind], f"{owner}/{name}", writes=True)
        if branch in repository.branches:
            raise _Refused(409, "Reference already exists")
        start = (await request.json()).get("startingPoint") or "main"
        repository.branches[branch] = at(repository, start).sha
        return Response(status_code=201)

    @app.delete("/api/{kind}/{owner}/{name}/branch/{branch:path}")
    def delete_branch(request: Request, kind: str, owner: str, name: str, branch: str):
        found(request, KINDS[kind], f"{owner}/{name}", writes=True).branches.pop(branch)
        return Response()

    @app.get("/api/{kind}/{owner}/{name}/refs")
    def refs(request: Request, kind: str, owner: str, name: str):
        repository = found(request, KINDS[kind], f"{owner}/{name}")
        heads = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": s} for n, s in repository.branches.items()]
        tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": s} for n, s in repository.tags.items()]
        return {"branches": heads, "tags": tags, "converts": []}

    @app.get("/api/spaces/{owner}/{name}/variables")
    def variables(request: Request, owner: str, name: str):
        return found(request, "space", f"{owner}/{name}", writes=True).variables

    @app.post("/api/spaces/{owner}/{name}/variables")
    async def set_variable(request: Request, owner: str, name: str):
        repository, body = found(request, "space", f"{owner}/{name}", writes=True), await request.json()
        repository.variables[body["key"]] = {"value": body["value"], "description": body.get("description")}
        return repository.variables

    @app.get("/api/{kind}/{owner}/{name}/tree/{revision}")
    @app.get("/api/{kind}/{owner}/{name}/tree/{revision}/{folder:path}")
    def list_tree(request: Request, kind: str, owner: str, name: str, revision: str, folder: str = ""):
        commit = at(found(request, KINDS[kind], f"{owner}/{name}"), revision)
        entries = tree(commit.files, folder, recursive=request.query_params.get("recursive", "").lower() == "true")
        if folder and not entries:
            raise _Refused(404, f"{folder} does not exist", "EntryNotFound")
        return entries

    @app.get("/api/{kind}/{owner}/{name}")
    @app.get("/api/{kind}/{owner}/{name}/revision/{revision:path}")
    def info(request: Request, kind: str, owner: str, name: str, revision: str = "main"):
        repository = found(request, KINDS[kind], f"{owner}/{name}")
        commit = at(repository, revision)
        return {
            "_id": repository.id,
            "id": repository.id,
            "sha": commit.sha,
            "private": repository.private,
            "sdk": repository.sdk,
            "tags": [],
            "createdAt": DATE,
            "lastModified": DATE,
            "siblings": [{"rfilename": path} for path in sorted(commit.files)],
        }

    def resolve(request: Request, kind: str, repo_id: str, revision: str, path: str):
        commit = at(found(request, kind, repo_id), revision)
        blob = commit.files.get(path)
        headers = {"X-Repo-Commit": commit.sha}
        if blob is None:
            message = {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            return JSONResponse({"error": "Entry not found"}, 404, headers | message)
        headers |= {"ETag": f'"{blob.etag}"', "Accept-Ranges": "bytes"}
        if blob.lfs:
            headers |= {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(len(blob.data))}
            # As on the Hub, large files come from another host, to which the client does not send its token.
            return RedirectResponse(f"http://localhost:{server.port}/large/{repo_id}/{blob.sha256}", 302, headers)
        return _content(request, blob.data, headers)

    for prefix, kind in (("/datasets", "dataset"), ("/spaces", "space"), ("", "model")):

        def of_kind(request: Request, owner: str, name: str, revision: str, path: str, kind: str = kind):
            return resolve(request, kind, f"{owner}/{name}", revision, path)

        place = f"{prefix}/{{owner}}/{{name}}/resolve/{{revision}}/{{path:path}}"
        app.api_route(place, methods=["GET", "HEAD"])(of_kind)

    @app.api_route("/large/{owner}/{name}/{oid}", methods=["GET", "HEAD"])
    def large(request: Request, owner: str, name: str, oid: str):
        return _content(request, server.large[oid], {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"})

    return app


def _apply(server: HubServer, head: Commit, files: dict[str, Blob], line: dict) -> str | None:
    """Apply one line of a commit; return the title if the line is the header."""
    key, value = line["key"], line["value"]
    if key == "header":
        if value.get("parentCommit") not in (None, head.sha):
            raise _Refused(412, "A commit has happened since. Please refresh and try again.")
        return value["summary"]
    if key == "file":
        files[value["path"]] = Blob(b64decode(value["content"]))
    elif key == "lfsFile":
        if value["oid"] not in server.large:
            raise _Refused(400, f"{value['path']}: its content was not uploaded")
        files[value["path"]] = Blob(server.large[value["oid"]], lfs=True)
    elif key == "deletedFile":
        if files.pop(value["path"], None) is None:
            raise _Refused(404, "A file with this name doesn't exist", "EntryNotFound")
    elif key == "deletedFolder":
        for path in [path for path in files if path.startswith(value["path"].rstrip("/") + "/")]:
            del files[path]
    return None


def _content(request: Request, data: bytes, headers: dict[str, str]) -> Response:
    """A file, or the requested range of it."""
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    status, total = 200, len(data)
    if asked:
        first, last = int(asked[1]), int(asked[2] or total - 1)
        if first >= total:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{total}"})
        data, status = data[first : last + 1], 206
        headers = headers | {"Content-Range": f"bytes {first}-{first + len(data) - 1}/{total}"}
    return Response(data, status, headers, media_type="application/octet-stream")


def repositories_of(requests: list[tuple[str, str]]) -> set[str]:
    """The repositories of requests, as `owner/name`."""
    of_path = re.compile(r"^(?:/api)?(?:/(?:models|datasets|spaces|large))?/([^/]+/[^/]+)(?:/|$)")
    return {of_path.match(urlsplit(path).path)[1] for _, path in requests}
