"""What a test puts in the place of `backpropd job --stdio`: it speaks the frames of server/remote/frame.h, and says what the test wants."""
import json
import os
import struct
import sys
import zlib

HELLO, START, TEXT, OBJECT, DATA, PING, PULSE, EXIT, ERROR = range(1, 10)
MAGIC = b"\xb2bp1"


def send(kind, content=b"", out=sys.stdout.buffer):
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    out.write(MAGIC + struct.pack("<III", kind, len(content), zlib.crc32(content)) + content)
    out.flush()


def receive(source=sys.stdin.buffer):
    """(kind, content) of the next frame, after what is none; None at the end."""
    window = b""
    while window != MAGIC:
        byte = source.read(1)
        if not byte:
            return None
        window = (window + byte)[-4:]
    kind, size, checksum = struct.unpack("<III", source.read(12))
    content = source.read(size)
    assert zlib.crc32(content) == checksum
    return kind, content


def hello(**changes):
    """Answers the relay's; its content."""
    kind, content = receive()
    assert kind == HELLO
    asked = json.loads(content)
    send(HELLO, {"version": asked["version"], "protocol": asked["protocol"], "token": asked["token"], "host": "stub", "needs": [], **changes})
    return asked


def stale():
    """The end of an attempt, with the token of another one."""
    hello()
    send(TEXT, {"kind": "cancelled", "report": {}, "token": "0" * 32})
    sys.stdin.buffer.read()


def version():
    hello(version="0.0.1")
    sys.stdin.buffer.read()


def nameless():
    """A result whose file never came."""
    asked = hello()
    send(TEXT, {"kind": "done", "file": 1, "document": {}, "report": {}, "token": asked["token"]})
    sys.stdin.buffer.read()


def silent():
    hello()
    os.close(1)  # no end of file for the relay: standard error's end is another pipe, and the process lives
    sys.stdin.buffer.read()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
