"""Protocol buffers on the wire: as much as it takes to ask Consul and to read what it answers.

The encoding is described at protobuf.dev, "Encoding". A message is read without its schema: fields
are asked for by number, and one that is absent is empty.
"""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Message:
    """The fields of a message, by number, in the order in which they came."""

    def __init__(self, encoded=b""):
        self._fields = {}
        at = 0
        while at < len(encoded):
            key, at = _varint(encoded, at)
            number, kind = key >> 3, key & 7
            if kind == VARINT:
                value, at = _varint(encoded, at)
            elif kind in (BYTES, FIXED32, FIXED64):
                length = {FIXED32: 4, FIXED64: 8}.get(kind)
                if length is None:
                    length, at = _varint(encoded, at)
                value, at = encoded[at : at + length], at + length
            else:
                raise ValueError(f"field {number} is of the unknown wire type {kind}")
            self._fields.setdefault(number, []).append(value)
        if at != len(encoded):
            raise ValueError("the message is cut off")

    def number(self, field):
        """An integer; 0 if absent."""
        return self._fields.get(field, [0])[-1]

    def text(self, field):
        """A string; empty if absent."""
        return self._fields.get(field, [b""])[-1].decode()

    def inner(self, *path):
        """The message reached through these fields; an empty one if any is absent."""
        message = self
        for field in path:
            message = Message(message._fields.get(field, [b""])[-1])
        return message

    def each(self, field):
        """All the messages of a repeated field."""
        return [Message(encoded) for encoded in self._fields.get(field, [])]


def _varint(encoded, at):
    value = shift = 0
    while True:
        if at >= len(encoded) or shift > 63:
            raise ValueError("the message is cut off")
        byte = encoded[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def field(number, value):
    """A field with text or an encoded message in it, encoded."""
    if isinstance(value, str):
        value = value.encode()
    return _encoded_varint(number << 3 | BYTES) + _encoded_varint(len(value)) + value


def _encoded_varint(value):
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
