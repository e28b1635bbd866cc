"""Runs in a guest, for tests: whoever connects sends a command and gets what it prints, and its exit code."""

import json
import socketserver
import subprocess

PORT = 7000


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        command = json.loads(self.rfile.readline())
        done = subprocess.run(["/bin/bash", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        answer = {"output": done.stdout, "errors": done.stderr, "code": done.returncode}
        self.wfile.write(json.dumps(answer).encode() + b"\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Server(("", PORT), Handler) as server:
        server.serve_forever()
