"""Sessions through a gateway, until it is ended.

    traffic.py ADDRESS PORT NAME OTHER...     the service of NAME echoes; others may be refused
"""

import socket
import ssl
import sys
import time

PART = bytes(1 << 16)
PART_COUNT = 16
PAUSE_S = 0.1
TIMEOUT_S = 10


def hello(name):
    """A ClientHello, as OpenSSL makes it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), made, server_hostname=name).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return made.read()


def session(address, beginning, part_count):
    """Sends what begins a session, and parts that come back one by one; then reads to the end."""
    with socket.create_connection(address, TIMEOUT_S) as connection:
        connection.sendall(beginning)
        left_bytes = len(beginning)
        for _ in range(part_count):
            connection.sendall(PART)
            left_bytes += len(PART)
            while left_bytes > 0:
                left_bytes -= len(connection.recv(left_bytes)) or sys.exit("the echo has ended")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(len(PART)):
            pass


def main():
    address = sys.argv[1], int(sys.argv[2])
    beginnings = [hello(name) for name in sys.argv[3:]]
    while True:
        for index, beginning in enumerate(beginnings):
            session(address, beginning, PART_COUNT if index == 0 else 0)
        time.sleep(PAUSE_S)


main()
