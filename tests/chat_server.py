"""A local HTTP server with the chat-completions protocol, with faults on demand."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behaviour = Callable[["ChatHandler"], None]


class ChatHandler(BaseHTTPRequestHandler):
    """Handles each request with the next behaviour of its server, or with the default when none is left."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.question = body["messages"][-1]["content"].rpartition("\n")[2]  # instructions come before it
        with self.server.lock:
            self.server.questions[self.question] += 1
            self.server.requests.append({"path": self.path, "key": self.headers.get("Authorization"), "body": body})
            behaviours = self.server.behaviours
            behaviour = behaviours.pop(0) if behaviours else self.server.otherwise
        behaviour(self)

    def log_message(self, *_):
        pass

    def send(self, status: int, body: bytes, **headers: str) -> None:
        """Send a complete response."""
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


def say(text: str | None = None) -> Behaviour:
    """Answer with this text; by default, with a text that quotes the question."""

    def behaviour(handler: ChatHandler) -> None:
        words = f"This is what one sees. {handler.question.rstrip('?')}, drawn on paper." if text is None else text
        message = {"role": "assistant", "content": words}
        usage = {"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 60}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {"id": "1", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        handler.send(200, json.dumps(answer).encode())

    return behaviour


def fail(status: int, message: str = "no", **headers: str) -> Behaviour:
    """Answer with an HTTP error."""
    return lambda handler: handler.send(status, json.dumps({"error": message}).encode(), **headers)


def garbage(body: bytes = b"<html>oops</html>") -> Behaviour:
    """Answer with a body that is not a chat completion."""
    return lambda handler: handler.send(200, body)


def hang(seconds: float) -> Behaviour:
    """Answer after a pause."""

    def behaviour(handler: ChatHandler) -> None:
        time.sleep(seconds)
        say()(handler)

    return behaviour


def cut(handler: ChatHandler) -> None:
    """Break the connection in the middle of the answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.wfile.flush()
    handler.close_connection = True


class ChatServer(ThreadingHTTPServer):
    """The server; `with ChatServer() as server:` runs it.

    Attributes:
        behaviours: Behaviours for the next requests, in the order of their arrival.
        otherwise: Behaviour for all further requests.
        questions: Number of requests per question.
        requests: Path, key and body of each request.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), ChatHandler)
        self.lock = threading.Lock()
        self.behaviours: list[Behaviour] = []
        self.otherwise: Behaviour = say()
        self.questions: Counter[str] = Counter()
        self.requests: list[dict] = []

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return super().__enter__()

    def __exit__(self, *error):
        self.shutdown()
        super().__exit__(*error)

    def handle_error(self, *_):
        """Ignore clients that close the connection, which some tests provoke."""
