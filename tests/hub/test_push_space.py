"""`caan-hub push-space`: the files of the Space and the model that it shows."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from hub_repositories import Blob

pytestmark = pytest.mark.slow

DEMO = Path(__file__).parents[2] / "demo"
README = "---\ntitle: Draw and find\nsdk: gradio\napp_file: app.py\n---\n\nDraw.\n"


@pytest.fixture
def demo(tmp_path):
    folder = tmp_path / "demo"
    (folder / "caan_demo" / "__pycache__").mkdir(parents=True)
    (folder / "README.md").write_text(README)
    (folder / "app.py").write_text("from caan_demo.page import page\n\npage.launch()\n")
    (folder / "requirements.txt").write_text("caan-hf\n")
    (folder / "caan_demo" / "page.py").write_text("page = None\n")
    (folder / "caan_demo" / "old.py").write_text("")
    (folder / "caan_demo" / "__pycache__" / "page.pyc").write_bytes(b"\0")
    (folder / ".env").write_text("SECRET=1")
    return folder


def test_the_demo_is_pushed_and_its_model_is_set(client, server, checkpoint, demo):
    assert client.hub("push", checkpoint, "me/tiny")[0] == 0
    words = ["push-space", "me/draw", "--model", "me/tiny", "--demo", demo]
    status, printed = client.hub(*words)
    assert status == 0, printed
    space = server.repository("me/draw", "space")
    assert set(space.files()) == {"README.md", "app.py", "requirements.txt", "caan_demo/page.py", "caan_demo/old.py"}
    assert space.files()["README.md"].decode() == README
    assert space.sdk == "gradio"
    assert space.variables["CAAN_MODEL"]["value"] == "me/tiny"

    server.requests.clear()
    (demo / "caan_demo" / "old.py").unlink()
    assert client.hub(*words)[0] == 0
    assert "caan_demo/old.py" not in space.files()
    status, printed = client.hub(*words)
    assert "no changes" in printed
    assert ("POST", "/api/spaces/me/draw/variables") not in server.requests  # it would restart the Space


def test_files_of_others_are_kept_and_local_files_are_not_pushed(client, server, checkpoint, demo):
    assert client.hub("push", checkpoint, "me/tiny")[0] == 0
    words = ["push-space", "me/draw", "--model", "me/tiny", "--demo", demo]
    assert client.hub(*words)[0] == 0
    space = server.repository("me/draw", "space")
    theirs = {"extra.py": Blob(b"pass"), "tools/help.py": Blob(b"pass")}
    space.commit("main", "by hand", space.find("main").files | theirs)

    subprocess.run(["git", "init", "-q", str(demo)], check=True)
    (demo / ".gitignore").write_text("*.log\n")
    for path in ("mine/lib/x.py", "mine/pyvenv.cfg", "secrets.toml", "prod.env", "run.log"):
        (demo / path).parent.mkdir(parents=True, exist_ok=True)
        (demo / path).write_text("x")
    before = space.files()
    status, printed = client.hub(*words)
    assert status == 0, printed
    assert "run.log" in printed
    assert space.files() == before


def test_a_folder_that_is_not_a_space_and_an_unknown_model_are_named(client, server, demo, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "README.md").write_text("# no front matter\n")
    cases = {
        ("--model", "me/typo", "--demo", demo): "me/typo: no such repository",
        ("--model", "typo", "--demo", demo): "Use OWNER/NAME",
        ("--model", "me/tiny", "--demo", tmp_path): "no README.md",
        ("--model", "me/tiny", "--demo", tmp_path / "other"): "no valid sdk",
    }
    for words, wanted in cases.items():
        status, printed = client.hub("push-space", "me/draw", *words)
        assert status == 2
        assert wanted in printed, printed
    (demo / "README.md").write_text("---\nsdk: [\n---\n")
    status, printed = client.hub("push-space", "me/draw", "--model", "me/tiny", "--demo", demo, "--dry-run")
    assert (status, "front matter" in printed) == (2, True), printed
    assert not server.repositories


@pytest.fixture
def page(tmp_path):
    folder = tmp_path / "page"
    files = {
        "index.html": "<p>",
        "caan_web.json": '{"title": "Our: archive", "version": "1"}',
        "page.js": "",
        "notes.txt": "",
    }
    files |= {"photos/000/0.jpg": "0", "photos/000/1.jpg": "1", "runtime/ort.mjs": "", "gallery/global.bin": ""}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def test_a_page_is_pushed_as_a_static_space(client, server, page):
    words = ["push-space", "me/archive", "--static", page]
    status, printed = client.hub(*words)
    assert status == 0, printed
    assert "notes.txt" in printed
    space = server.repository("me/archive", "space")
    pushed = {str(file.relative_to(page)) for file in page.rglob("*") if file.is_file()} - {"notes.txt"}
    assert set(space.files()) == pushed | {"README.md"}
    front = yaml.safe_load(space.files()["README.md"].decode().split("---")[1])
    assert (front["title"], front["sdk"]) == ("Our: archive", "static")
    assert front["custom_headers"]["cross-origin-opener-policy"] == "same-origin"
    assert space.sdk == "static"
    assert not space.variables

    (page / "photos" / "000" / "1.jpg").unlink()
    assert client.hub(*words)[0] == 0
    assert "photos/000/1.jpg" not in space.files()


def test_a_static_space_needs_a_page_and_no_model(client, server, page, demo, tmp_path):
    (page / "README.md").write_text(README)
    cases = {
        ("--static", tmp_path / "none"): "caan-export web",
        ("--static", demo): "caan-export web",
        ("--static", page): "sdk: static",
        ("--static", page, "--model", "me/tiny"): "mutually exclusive",
        (): "--model: required",
    }
    for words, wanted in cases.items():
        status, printed = client.hub("push-space", "me/archive", *words)
        assert (status, wanted in printed) == (2, True), printed
    assert not server.repositories


def test_a_space_that_cannot_find_the_package_is_not_pushed(client, server, checkpoint):
    assert client.hub("push", checkpoint, "me/tiny")[0] == 0
    for words in ((), ("--dry-run",)):
        status, printed = client.hub("push-space", "me/draw", "--model", "me/tiny", "--demo", DEMO, *words)
        assert status == 2
        assert re.search(r"requirements\.txt: .*package index.*ADDRESS", " ".join(printed.split()))
        assert ("space", "me/draw") not in server.repositories
