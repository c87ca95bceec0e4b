"""A real HTTP server that speaks the chat-completions protocol, and misbehaves as it is told."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behaviour = Callable[["ChatHandler"], None]


class ChatHandler(BaseHTTPRequestHandler):
    """Answers one question by the next behaviour on its server's list, or well when the list is used up."""

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
        """A whole answer."""
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


def say(text: str | None = None) -> Behaviour:
    """An answer with this text; by default one that names what was asked."""

    def behaviour(handler: ChatHandler) -> None:
        words = f"This is what one sees. {handler.question.rstrip('?')}, drawn on paper." if text is None else text
        message = {"role": "assistant", "content": words}
        usage = {"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 60}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {"id": "1", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        handler.send(200, json.dumps(answer).encode())

    return behaviour


def fail(status: int, message: str = "no", **headers: str) -> Behaviour:
    """An error."""
    return lambda handler: handler.send(status, json.dumps({"error": message}).encode(), **headers)


def garbage(body: bytes = b"<html>oops</html>") -> Behaviour:
    """An answer in another protocol."""
    return lambda handler: handler.send(200, body)


def hang(seconds: float) -> Behaviour:
    """An answer that comes late."""

    def behaviour(handler: ChatHandler) -> None:
        time.sleep(seconds)
        say()(handler)

    return behaviour


def cut(handler: ChatHandler) -> None:
    """A connection that breaks in the middle of the answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.wfile.flush()
    handler.close_connection = True


class ChatServer(ThreadingHTTPServer):
    """The server; `with ChatServer() as server:` runs it.

    Attributes:
        behaviours: what the next requests get, in the order of their arrival.
        otherwise: what all further ones get.
        questions: how often each question was asked.
        requests: path, key and body of each request.
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
        """Its base URL."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return super().__enter__()

    def __exit__(self, *error):
        self.shutdown()
        super().__exit__(*error)

    def handle_error(self, *_):
        """A client that went away is what the tests want."""
