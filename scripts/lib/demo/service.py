"""The service of the demo: sends back what it gets, and greets whoever speaks HTTP.

    service.py ADDRESS PORT GREETING
"""

import socket
import socketserver
import sys

METHODS = (b"GET ", b"HEAD", b"POST", b"PUT ")


class Session(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            data = self.request.recv(1 << 18)
            if data[:4] in METHODS:
                body = self.server.greeting.encode() + b"\n"
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n"
                self.request.sendall(f"{head}Connection: close\r\n\r\n".encode() + body)
                return
            while data:
                self.request.sendall(data)
                data = self.request.recv(1 << 18)
        except ConnectionError:
            # A client that goes away is not an error of this service.
            pass


class Service(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


def main():
    address, port, greeting = sys.argv[1:]
    with Service((address, int(port)), Session) as service:
        service.greeting = greeting
        service.serve_forever()


main()
