"""Requests to the server: calls by programs, and what must be refused."""

import http.client
import json
import os
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from caan_demo.page import build_page
from caan_demo.server import delete_old_files, served
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from gradio_client.utils import QueueError
from PIL import Image

from caan_hf.service.guard import MAX_BODY_BYTES
from caan_hf.service.searcher import MAX_FILE_BYTES

DEMO = Path(__file__).parents[2] / "demo"


@pytest.fixture(scope="module")
def client(address):
    return Client(address, verbose=False)


def request(address: str, method: str, path: str, body: bytes | None = None, headers: dict | None = None):
    """Status and body of a request."""
    answer = send(address, method, path, body, headers)
    return answer.status, answer.read()


def send(address: str, method: str, path: str, body: bytes | None = None, headers: dict | None = None):
    """The answer to a request; the path is sent unchanged, unlike with ordinary clients."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.request(method, path, body, headers or {})
    return connection.getresponse()


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((), {}),
        ((False,), {"rerank": False}),
        ((True, "photos"), {"rerank": True}),
        ((None, "photos", True), {"expand": 5}),
    ],
)
def test_search_returns_what_the_gallery_returns(client, gallery, drawing, arguments, options):
    found = client.predict(handle_file(drawing), 5, *arguments, api_name="/search")
    expected = gallery.search(drawing, k=5, **options)
    assert [entry["photo"] for entry in found] == [result.path for result in expected]
    for name in ("score", "local_score", "fused_score"):
        wanted = [getattr(result, name) for result in expected]
        given = [entry[name] for entry in found]
        assert given == (wanted if None in wanted else pytest.approx(wanted, abs=1e-4))


def test_search_accepts_strokes(client, gallery, tmp_path):
    strokes = tmp_path / "strokes.json"
    strokes.write_text(json.dumps({"strokes": [[[0, 0], [50, 0], [50, 50]], [[10, 10], [20, 40]]]}), encoding="utf-8")
    found = client.predict(handle_file(strokes), 3, api_name="/search")
    assert [entry["photo"] for entry in found] == [result.path for result in gallery.search(strokes, k=3)]


def test_a_slow_first_answer_does_not_stop_the_server(monkeypatch):
    monkeypatch.setattr("gradio.networking.url_ok", lambda _: False)  # as when the first answer takes 3 seconds
    with served(lambda: build_page({}, notice="none")) as address:
        assert request(address, "GET", "/")[0] == 200


def test_programs_search_by_words(text_searcher, drawing):
    gallery = text_searcher.gallery
    with served(lambda: build_page({"photos": text_searcher}, show_paths=True)) as address:
        client = Client(address, verbose=False)
        alone = client.predict(None, k=30, text="two dogs", api_name="/search")
        both = client.predict(handle_file(drawing), k=30, text="two dogs", api_name="/search")
    assert [entry["photo"] for entry in alone] == [one.path for one in gallery.search(None, text="two dogs", k=30)]
    assert [entry["photo"] for entry in both] == [one.path for one in gallery.search(drawing, text="two dogs", k=30)]


def test_explain_returns_a_picture(client, gallery, drawing):
    best = gallery.search(drawing, k=1)[0]
    picture = client.predict(handle_file(drawing), best.path, "photos", api_name="/explain")
    expected = gallery.explain(drawing, best).figure()
    assert Image.open(picture).size == expected.size


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("corrupt.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 500, "not a picture that can be read"),
        ("empty.png", b"", "empty"),
        ("strokes.json", b'{"drawing": "none"}', "not strokes"),
        ("notes.txt", b"hello", "not a picture that can be read"),
    ],
)
def test_bad_files_are_reported(client, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AppError, match=message):
        client.predict(handle_file(tmp_path / name), 3, api_name="/search")


def test_a_small_file_of_many_pixels_is_refused(client, tmp_path):
    Image.new("1", (12_000, 12_000), 1).save(tmp_path / "huge.png")
    assert (tmp_path / "huge.png").stat().st_size < 100_000
    with pytest.raises(AppError, match="12000 x 12000"):
        client.predict(handle_file(tmp_path / "huge.png"), 3, api_name="/search")


@pytest.mark.parametrize(("k", "number"), [(0, 1), (-3, 1), (None, 12), (7.0, 7), (999, 30)])
def test_the_number_of_photos_is_limited(client, drawing, k, number):
    assert len(client.predict(handle_file(drawing), k, api_name="/search")) == number


@pytest.mark.parametrize(
    ("endpoint", "arguments", "message"),
    [
        ("/search", ("DRAWING", "many"), "k must be a number of photos"),
        ("/search", (None, 3), "nothing is drawn"),
        ("/search", (None, 3, None, "photos", False, "a cat"), "no text tower to search by words"),
        ("/search", ("DRAWING", 3, False, "other"), "no gallery 'other'"),
        ("/explain", ("DRAWING", None), "give a sketch and the photo"),
    ],
)
def test_bad_arguments_are_reported(client, drawing, endpoint, arguments, message):
    filled = [handle_file(drawing) if one == "DRAWING" else one for one in arguments]
    with pytest.raises(AppError, match=message):
        client.predict(*filled, api_name=endpoint)


def test_explain_reads_only_photos_of_the_gallery(client, gallery, drawing, tmp_path):
    secret = tmp_path / "secret.png"
    Image.new("RGB", (64, 64), "red").save(secret)
    with pytest.raises(AppError, match="not in the gallery") as refused:
        client.predict(handle_file(drawing), str(secret), api_name="/explain")
    assert gallery.table.uri not in str(refused.value)
    assert str(refused.value).count("the gallery") == 1


def test_only_the_endpoints_can_be_called_by_programs(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {"/search", "/explain"}


def form(name: str, content: bytes) -> tuple[bytes, dict[str, str]]:
    """Body and headers of an upload."""
    boundary = "----demo"
    lines = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
        f"Content-Type: image/png\r\n\r\n"
    )
    body = lines.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def secrets(photos: Path, tmp_path: Path) -> list[str]:
    """Paths of files that must not be served, as a visitor may write them."""
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret", encoding="utf-8")
    temporary = os.environ["GRADIO_TEMP_DIR"]
    up = "../" * 12
    return [
        str(secret),
        f"{temporary}/{up}{secret}",
        f"{up}{secret}",
        str(photos / "00.png"),  # photos are shown as thumbnails, never by path
        "/etc/passwd",
        f"{temporary}/../../etc/passwd",
        "//etc/passwd",
        "file:///etc/passwd",
        "/proc/self/environ",
        str(Path(__file__)),
        "pyproject.toml",
    ]


ROUTES = ("/gradio_api/file=", "/gradio_api/file/", "/file=", "/static/", "/assets/", "/svelte/", "/gradio_api/proxy=")


@pytest.mark.parametrize("route", ROUTES)
def test_other_files_are_not_served(address, photos, tmp_path, route):
    for file in secrets(photos, tmp_path):
        for path in (file, quote(file, safe=""), quote(quote(file), safe="")):
            status, body = request(address, "GET", route + quote(path, safe="/%:"))
            assert status >= 400, (route, path, body[:100])
            assert b"the secret" not in body
            assert b"root:" not in body


def test_an_uploaded_file_cannot_leave_the_upload_folder(address, tmp_path):
    """A file name with `..` stays in the folder of uploads."""
    body, headers = form(f"../../../../{tmp_path}/x.png", b"hello")
    status, answer = request(address, "POST", "/gradio_api/upload", body, headers)
    assert status == 200
    (place,) = json.loads(answer)
    assert Path(place).resolve().is_relative_to(Path(os.environ["GRADIO_TEMP_DIR"]).resolve())
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("path", ["/etc/passwd", "pyproject.toml"])
def test_a_program_cannot_name_a_file_of_the_server(address, path):
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    body = json.dumps({"data": [file, 3, False, "photos"]}).encode()
    status, answer = request(address, "POST", "/gradio_api/call/search", body, {"Content-Type": "application/json"})
    assert status == 200
    event = json.loads(answer)["event_id"]
    status, answer = request(address, "GET", f"/gradio_api/call/search/{event}")
    assert b"event: error" in answer
    assert b"root:" not in answer


META = {"_type": "gradio.FileData"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("queue/join", {"fn_index": 0, "data": [{"path": "/etc/passwd", "meta": META}, {}, [], 5, None]}),
        ("queue/join", {"fn_index": 0, "data": []}),
        ("queue/join", {"fn_index": 5, "data": [None]}),
        ("queue/join", {"fn_index": 7, "data": [None]}),
        ("queue/join", {"fn_index": 9, "data": ["x", "photos", None]}),
        ("queue/join", {"fn_index": 10, "data": [None], "event_data": {"index": "x"}}),
        ("queue/join", {"fn_index": 8, "data": []}),
        ("queue/join", {"fn_index": 99, "data": []}),
        ("call/search", {"data": [{"path": None}, 3]}),
        ("call/search", {"data": [{"path": "a\0b", "meta": META}, 3, False, "photos", False]}),
        ("call/search", {"data": [{"path": "x" * 5000, "meta": META}, 3, False, "photos", False]}),
        ("run/search", {"data": [5, 3, False, "photos", False]}),
        ("call/v2/search", {"nonsense": 1}),
    ],
)
def test_malformed_requests_leave_one_line_in_the_log(address, client, drawing, capsys, caplog, path, body):
    session = f"malformed-{time.monotonic_ns()}"
    headers = {"Content-Type": "application/json"}
    filled = json.dumps(body | ({"session_hash": session} if path == "queue/join" else {})).encode()
    status, answer = request(address, "POST", f"/gradio_api/{path}", filled, headers)
    if status == 200:
        event = json.loads(answer)["event_id"]
        results = f"queue/data?session_hash={session}" if path == "queue/join" else f"{path}/{event}"
        _, answer = request(address, "GET", f"/gradio_api/{results}")
        assert b"Reload the page" in answer
    assert len(client.predict(handle_file(drawing), 3, api_name="/search")) == 3
    assert "Traceback" not in capsys.readouterr().err
    assert len(caplog.messages) == 1
    assert "\n" not in caplog.messages[0]


def test_old_files_of_visitors_are_deleted_with_their_folders(tmp_path):
    for name in ("example/cat.png", "visitor/x.png", "cancelled-upload"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    kept = {tmp_path / "example", tmp_path / "example" / "cat.png"}
    delete_old_files(tmp_path, kept, age=60, max_bytes=10**6)
    assert len(set(tmp_path.rglob("*"))) == 5
    delete_old_files(tmp_path, kept, age=0, max_bytes=10**6)
    assert set(tmp_path.rglob("*")) == kept


def test_the_oldest_files_of_visitors_are_deleted_when_they_take_too_much_space(tmp_path):
    kept = {tmp_path / "example"}
    (tmp_path / "example").write_bytes(b"x" * 10**6)
    for number in range(10):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "sketch.png").write_bytes(b"x" * 10**6)
        time.sleep(0.02)  # the clock of a file system ticks slowly
    delete_old_files(tmp_path, kept, age=3600, max_bytes=4 * 10**6)
    assert {path.name for path in tmp_path.iterdir()} == {"example", "7", "8", "9"}
    assert len(list(tmp_path.rglob("sketch.png"))) == 3


def test_tiny_files_count_with_the_size_of_a_block(tmp_path):
    for number in range(50):
        (tmp_path / str(number)).write_bytes(b"")
    delete_old_files(tmp_path, set(), age=3600, max_bytes=100_000)
    assert len(list(tmp_path.iterdir())) < 25


@pytest.mark.parametrize("route", ["file=", "file/", "file%2F", "file%253D", "proxy=", "/file/"])
def test_urls_are_not_fetched_through_any_route(address, route):
    for url in ("http://example.com/", "HTTPS://example.com", "/https://example.com/", "http%3A%2F%2Fexample.com"):
        status, body = request(address, "GET", "/gradio_api/" + route + url)
        assert status == 403, (route, url, body[:100])
        assert b"only files of this demo are served" in body


def test_urls_are_not_fetched_for_programs(client):
    with pytest.raises(AppError, match=r"[Uu]pload the sketch itself"):
        client.predict({"path": "http://127.0.0.1:9/x.png", "meta": {"_type": "gradio.FileData"}}, api_name="/search")


def test_large_requests_are_refused(address):
    headers = {"Content-Length": str(MAX_BODY_BYTES + 2)}
    assert request(address, "POST", "/gradio_api/queue/join", headers=headers)[0] == 413


def test_large_uploads_are_refused(client, tmp_path):
    large = tmp_path / "large.png"
    large.write_bytes(b"\0" * (MAX_FILE_BYTES + 1024))
    with pytest.raises(Exception, match=r"413|exceeds|size|too large"):
        client.predict(handle_file(large), 3, api_name="/search")


def test_the_page_loads_nothing_from_other_servers(address):
    status, page = request(address, "GET", "/")
    assert status == 200
    for tag in (b"<script", b"<link", b"<img", b"<iframe"):
        for element in page.split(tag)[1:]:
            assert b"//" not in element.split(b">")[0].replace(address.encode(), b""), element[:200]


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::1", "a@b"],
)
def test_foreign_host_names_are_refused(address, host):
    for method, path in (("GET", "/"), ("GET", "/config"), ("POST", "/gradio_api/queue/join"), ("OPTIONS", "/config")):
        status, body = request(address, method, path, headers={"Host": host, "Origin": f"http://{host}"})
        assert status == 403, (method, path)
        assert b"--allow-host" in body


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "192.168.1.5", "abc.gradio.live"])
def test_the_page_is_served_under_all_names_of_the_machine(address, name):
    port = urlsplit(address).port
    headers = {"Host": f"{name}:{port}", "Origin": f"http://{name}:{port}".lower()}
    assert request(address, "GET", "/config", headers=headers)[0] == 200


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost:1", "file://", "https://abc.gradio.live", "http://127.0.0.1"],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/gradio_api/upload"), ("GET", "/config"), ("OPTIONS", "/config")]
)
def test_foreign_origins_are_refused_without_cors_headers_or_files(address, origin, method, path):
    before = set(Path(os.environ["GRADIO_TEMP_DIR"]).rglob("*"))
    body, headers = form("x.png", b"hello")
    headers |= {"Origin": origin, "Access-Control-Request-Method": "POST"}
    answer = send(address, method, path, body, headers)
    assert answer.status == 403
    assert [name for name in answer.headers if name.lower().startswith("access-control")] == []
    assert set(Path(os.environ["GRADIO_TEMP_DIR"]).rglob("*")) <= before


@pytest.fixture
def public_address(searcher):
    """Address of the demo as it is served to others. Two servers of a process share gradio's folder of uploads."""
    with served(lambda: build_page({"photos": searcher}), allow_hosts=["demo.example"]) as url:
        yield url


def test_a_public_demo_names_photos_without_their_folders(public_address, gallery, photos, drawing):
    client = Client(public_address, verbose=False)
    expected = gallery.search(drawing, k=3)
    found = client.predict(handle_file(drawing), 3, api_name="/search")
    assert [entry["photo"] for entry in found] == [Path(result.path).name for result in expected]
    picture = client.predict(handle_file(drawing), found[1]["photo"], "photos", api_name="/explain")
    assert Image.open(picture).size == gallery.explain(drawing, expected[1]).figure().size
    for name in (expected[0].path, "none.png"):
        with pytest.raises(AppError, match="not in the gallery"):
            client.predict(handle_file(drawing), name, "photos", api_name="/explain")
    status, config = request(public_address, "GET", "/config", headers={"Host": "demo.example"})
    assert status == 200
    for folder in (photos, gallery.table.uri, DEMO):
        assert str(folder).encode() not in config


def test_a_full_queue_is_reported_while_the_page_still_opens(address, client, busy, drawing):
    with busy():
        assert request(address, "GET", "/")[0] == 200
        with pytest.raises(QueueError, match="full"):
            client.predict(handle_file(drawing), 3, api_name="/search")
    assert len(client.predict(handle_file(drawing), 3, api_name="/search")) == 3
