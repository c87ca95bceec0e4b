"""The service around its routes: key, host names, limits of number, size and time, metrics and the OpenAPI page."""

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families

from caan_hf.service.searcher import MAX_FILE_BYTES

KEYED = ["/v1/galleries", "/metrics", "/v1/photos/" + "0" * 64]


def search(client, content: bytes):
    return client.post("/v1/search", params={"k": 1}, files={"sketch": content})


def metric(client, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return next((one.value for one in samples if one.name == name and labels.items() <= one.labels.items()), 0)


def wait_for(condition) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def computed(searcher):
    """`computed(client, number)` waits until the service works on this number of requests."""
    return lambda client, number: wait_for(lambda: metric(client, "caan_waiting_requests") == number)


def test_without_the_key_only_the_open_pages_are_answered(serve, searcher, drawing):
    with serve({"photos": searcher}, key="secret") as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}):
            for path in KEYED:
                refused = client.get(path, headers=headers)
                assert refused.status_code == 401
                assert refused.headers["www-authenticate"] == "Bearer"
            assert search(client, b"").status_code == 401
        assert {client.get(path).status_code for path in ("/healthz", "/docs", "/openapi.json")} == {200}
        client.headers["Authorization"] = "Bearer secret"
        assert search(client, drawing.read_bytes()).status_code == 200
        assert client.get("/metrics").status_code == 200


@pytest.mark.parametrize(
    ("options", "key", "shown"),
    [
        ({}, None, True),
        ({"allow_host": ["photos.example"]}, None, False),
        ({"allow_host": ["photos.example"]}, "secret", True),
        ({"show_paths": False}, "secret", False),
    ],
)
def test_paths_are_shown_to_clients_that_may_know_them(serve, searcher, gallery, drawing, options, key, shown):
    with serve({"photos": searcher}, key=key, **options) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        answer = search(client, drawing.read_bytes())
    (found,) = answer.json()["results"]
    expected = gallery.search(drawing, k=1)[0].path
    assert found["path"] == (expected if shown else None)
    assert found["name"] == expected.rpartition("/")[2]
    assert (str(expected.rpartition("/")[0]) in answer.text) == shown


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Origin": "https://evil.example"}, 403),
    ],
)
def test_other_host_names_and_web_pages_are_refused(service, headers, status):
    answer = service.get("/v1/galleries", headers=headers)
    assert answer.status_code == status
    assert status == 200 or "caan serve with --allow-host" in answer.json()["detail"]


def test_large_requests_are_refused(service):
    large = b"\0" * (MAX_FILE_BYTES + 2**17)
    assert search(service, large).status_code == 413
    head = b'--x\r\nContent-Disposition: form-data; name="sketch"; filename="large.png"\r\n\r\n'
    parts = (part for part in (head, *[large[: 2**16]] * 200))  # of an undeclared length
    chunked = service.post("/v1/search", content=parts, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert chunked.status_code == 413


def test_a_small_file_of_many_pixels_is_refused(service, tmp_path):
    from PIL import Image

    for side in (6_000, 12_000):
        file = tmp_path / "large.png"
        Image.new("1", (side, side), 1).save(file)
        for route, field in (("/v1/search", "sketch"), ("/v1/search/photo", "photo")):
            refused = service.post(route, files={field: file.read_bytes()})
            assert refused.status_code == 400
            assert re.search("pixels.*Reduce|cannot be read", refused.json()["detail"])


@pytest.mark.parametrize(("options", "status"), [({"timeout": 1.5}, b"408"), ({"key": "secret"}, b"401")])
def test_slow_requests_are_refused_and_the_key_is_checked_before_the_body_arrives(serve, searcher, options, status):
    with serve({"photos": searcher}, **options) as client:
        with socket.create_connection((client.base_url.host, client.base_url.port), timeout=30) as connection:
            head = "POST /v1/search/strokes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
            connection.sendall(f"{head}Content-Type: application/json\r\n\r\n{{".encode())
            assert connection.recv(4096).split()[1] == status
        assert client.get("/healthz").json() == {"status": "ok"}


def test_a_request_that_takes_too_long_is_ended(serve, searcher, drawing, computed):
    with serve({"photos": searcher}, timeout=1.5) as client:
        with searcher.encoder.paused():
            late = search(client, drawing.read_bytes())
        assert late.status_code == 504
        assert "1.5 s" in late.json()["detail"]
        computed(client, 0)
    with serve({"photos": searcher}) as client:
        assert search(client, drawing.read_bytes()).status_code == 200


def test_too_many_waiting_requests_are_refused_and_the_others_answered(serve, searcher, drawing, computed):
    content = drawing.read_bytes()
    with serve({"photos": searcher}, max_waiting=3) as client, ThreadPoolExecutor(3) as threads:
        with searcher.encoder.paused():
            waiting = [threads.submit(search, client, content) for _ in range(3)]
            computed(client, 3)
            refused = search(client, content)
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            assert client.get("/healthz").status_code == 200
        assert [one.result().status_code for one in waiting] == [200] * 3


def test_waiting_requests_are_answered_in_one_batch_as_alone(serve, searcher, drawing, computed):
    from caan_hf.benchmarks.sample import draw_object

    drawings = []
    for name in ("fish", "house", "cat", "mug", "car", "tent"):
        file = drawing.parent / f"batch-{name}.png"
        draw_object(name, "sketch", seed=1, index=0).save(file)
        drawings.append(file.read_bytes())
    with serve({"photos": searcher}) as client, ThreadPoolExecutor(len(drawings)) as threads:
        alone = [search(client, content).json()["results"][0] for content in drawings]
        before = metric(client, "caan_batch_size_count"), metric(client, "caan_batch_size_sum")
        with searcher.encoder.paused():
            waiting = [threads.submit(search, client, content) for content in drawings]
            computed(client, len(drawings))
            time.sleep(0.5)  # until they are prepared
        together = [one.result().json()["results"][0] for one in waiting]
        assert metric(client, "caan_batch_size_sum") - before[1] == len(drawings)
        assert metric(client, "caan_batch_size_count") - before[0] < len(drawings)
    for one, other in zip(alone, together, strict=True):
        assert one["id"] == other["id"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)


def test_requests_are_counted_by_route_and_status(serve, searcher, drawing):
    with serve({"photos": searcher}) as client:
        search(client, drawing.read_bytes())
        search(client, b"")
        client.get("/v1/photos/" + "0" * 64)
        for number in range(3):
            client.get(f"/unknown/{number}")
        assert metric(client, "caan_requests_total", route="/v1/search", status="200") == 1
        assert metric(client, "caan_requests_total", route="/v1/search", status="400") == 1
        assert metric(client, "caan_requests_total", route="/v1/photos/{id}", status="404") == 1
        assert metric(client, "caan_requests_total", route="unknown", status="404") == 3
        assert metric(client, "caan_request_seconds_count", route="/v1/search") == 2
        assert metric(client, "caan_gallery_photos", gallery="photos") == 30


def test_the_openapi_page_loads_nothing_from_other_servers(service):
    assert service.get("/").headers["location"] == "docs"
    page = service.get("/docs").text
    places = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert places
    assert all(place.startswith("/") for place in places)
    assert {service.get(place).status_code for place in places} == {200}
    paths = service.get("/openapi.json").json()["paths"]
    assert {"/healthz", "/metrics", "/v1/search", "/v1/search/strokes", "/v1/search/photo"} <= set(paths)
    refusals = paths["/v1/search"]["post"]["responses"]
    assert {"401", "404", "413", "503", "504"} <= set(refusals)
