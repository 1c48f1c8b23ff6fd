"""Sends random bytes to an echo service and compares what comes back, by SHA-256.

    exchange.py ADDRESS PORT BYTES...     one connection for each number of bytes
    exchange.py ADDRESS PORT closed       succeeds if the connection is closed without an answer
"""

import hashlib
import os
import socket
import sys
import threading

CHUNK_BYTES = 1 << 18
# Longer than any machine takes for 64 MiB, so that a stall ends.
TIMEOUT_S = 60


def exchange(address, size_bytes):
    """The hash, which is the same in both directions; else ends with what differs."""
    sent, received = hashlib.sha256(), hashlib.sha256()
    with socket.create_connection(address, TIMEOUT_S) as connection:
        sender = threading.Thread(target=send, args=(connection, size_bytes, sent), daemon=True)
        sender.start()
        received_bytes = 0
        while received_bytes < size_bytes:
            data = connection.recv(CHUNK_BYTES)
            if not data:
                sys.exit(f"closed after {received_bytes} of {size_bytes} bytes")
            received.update(data)
            received_bytes += len(data)
        sender.join(TIMEOUT_S)
    if received_bytes != size_bytes or sent.digest() != received.digest():
        sys.exit(f"{size_bytes} bytes sent, {received_bytes} others came back")
    return sent.hexdigest()


def send(connection, size_bytes, digest):
    left_bytes = size_bytes
    # What goes wrong here is seen by the receiver.
    try:
        while left_bytes > 0:
            data = os.urandom(min(left_bytes, CHUNK_BYTES))
            connection.sendall(data)
            digest.update(data)
            left_bytes -= len(data)
    except OSError:
        pass


def is_closed(address):
    """Whether a connection ends without a byte in answer to one."""
    with socket.create_connection(address, TIMEOUT_S) as connection:
        try:
            connection.sendall(b"?")
            return connection.recv(1) == b""
        except ConnectionError:
            return True


def main():
    address = sys.argv[1], int(sys.argv[2])
    try:
        if sys.argv[3:] == ["closed"]:
            if not is_closed(address):
                sys.exit("the service answered")
            return
        for size in sys.argv[3:]:
            print(exchange(address, int(size))[:16])
    except OSError as error:
        sys.exit(f"the connection to {address[0]}:{address[1]} failed: {error}")


main()
