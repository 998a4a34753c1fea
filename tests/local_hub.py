"""A model hub on this machine that can misbehave: it cuts connections, sends wrong bytes, redirects, refuses ranges."""

import hashlib
import http.server
import json
import pathlib
import ssl
import subprocess
import threading
import time
import urllib.parse


class Hub:
    """Serves `repositories` ({"org/name": {path: bytes}}); use with `with`. `log` has (method and path, headers) of every
    request to the hub itself, `elsewhere` of those to the host that large files are kept on. `certificate` (its file and
    its key's) makes it speak HTTPS."""

    def __init__(self, repositories: dict[str, dict[str, bytes]], certificate: tuple[pathlib.Path, pathlib.Path] | None = None):
        self.repositories = repositories
        self.certificate = certificate
        self.log: list[tuple[str, dict]] = []
        self.elsewhere: list[tuple[str, dict]] = []
        self.cut_after: list[int] = []   # each download of a large file ends after so many bytes, first come first served
        self.wrong_bytes = False         # of large files: right length, one bit off
        self.ignore_ranges = False
        self.redirect = False            # large files are at another port, as a real hub has them on another host
        self.redirect_to = ""            # every request leads to this address
        self.token = ""                  # without it: 401
        self.slow = 0.0                  # seconds before each 64 kB
        self.busy = 0                    # so many requests are answered 503 first
        self.listing = None              # replaces the list of files

    def __enter__(self) -> "Hub":
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                hub.answer(self)

        self.servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
        for server in self.servers:
            server.daemon_threads = True
            if self.certificate:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*self.certificate)
                server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, daemon=True).start()
        scheme = "https" if self.certificate else "http"
        self.url, self.other = (f"{scheme}://127.0.0.1:{s.server_address[1]}" for s in self.servers)
        return self

    def __exit__(self, *_) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def answer(self, request) -> None:
        at_hub = request.server is self.servers[0]
        (self.log if at_hub else self.elsewhere).append((request.path, dict(request.headers)))
        path = urllib.parse.unquote(urllib.parse.urlsplit(request.path).path)
        if self.redirect_to:
            return self.reply(request, 302, b"", {"Location": self.redirect_to})
        if self.busy > 0:
            self.busy -= 1
            return self.reply(request, 503, b"busy")
        if at_hub and self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return self.reply(request, 401, b"", {"X-Error-Code": "GatedRepo"})
        for name, files in self.repositories.items():
            if path == f"/api/models/{name}/tree/main":
                return self.reply(request, 200, json.dumps(self.listing if self.listing is not None else self.rows(files)).encode())
            if path.startswith(f"/{name}/resolve/main/"):
                file = path.removeprefix(f"/{name}/resolve/main/")
                if file in files:
                    return self.send(request, files[file], at_hub)
        self.reply(request, 404, b"not here", {"X-Error-Code": "EntryNotFound"})

    def rows(self, files: dict[str, bytes]) -> list[dict]:
        """As the hub's own list: large files by SHA-256, small ones as git names them."""
        rows = [{"type": "directory", "path": "some", "oid": "0" * 40, "size": 0}]
        for path, content in files.items():
            oid = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
            row = {"type": "file", "path": path, "oid": oid, "size": len(content)}
            if is_large(path):
                row["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
            rows.append(row)
        return rows

    def send(self, request, content: bytes, at_hub: bool) -> None:
        large = is_large(urllib.parse.urlsplit(request.path).path)
        if large and at_hub and self.redirect:
            return self.reply(request, 302, b"elsewhere", {"Location": self.other + request.path})
        if large and self.wrong_bytes:
            content = content[:-1] + bytes([content[-1] ^ 1])
        first, status, headers = 0, 200, {}
        wanted = request.headers.get("Range", "")
        if wanted and not self.ignore_ranges:
            first, status = int(wanted.removeprefix("bytes=").removesuffix("-")), 206
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        cut = self.cut_after.pop(0) if large and self.cut_after else None
        self.reply(request, status, content[first:], headers, cut)

    def reply(self, request, status: int, content: bytes, headers: dict | None = None, cut: int | None = None) -> None:
        request.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            request.send_header(key, value)
        request.end_headers()
        try:
            end = len(content) if cut is None else min(cut, len(content))
            for at in range(0, end, 1 << 16):
                time.sleep(self.slow)
                request.wfile.write(content[at:min(end, at + (1 << 16))])
                request.wfile.flush()
        except OSError:
            pass  # the client went away
        if cut is not None:
            request.close_connection = True
            request.connection.close()


class Authority:
    """Signs certificates with its own, `root`, all of them in a folder that is there."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.root, self.key = folder / "root.crt", folder / "root.key"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tests", "-keyout", self.key, "-out", self.root)

    def certificate(self, name: str) -> tuple[pathlib.Path, pathlib.Path]:
        """For a host by its `subjectAltName`, such as IP:127.0.0.1."""
        stem = self.folder / name.replace(":", "_")
        crt, key, csr, extensions = (stem.with_name(stem.name + end) for end in (".crt", ".key", ".csr", ".ext"))
        extensions.write_text(f"subjectAltName={name}\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=hub", "-keyout", key, "-out", csr)
        openssl("x509", "-req", "-in", csr, "-CA", self.root, "-CAkey", self.key, "-CAcreateserial", "-days", "2", "-extfile", extensions,
                "-out", crt)
        return crt, key


def openssl(*arguments) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


def is_large(path: str) -> bool:
    return path.endswith((".gguf", ".safetensors"))
