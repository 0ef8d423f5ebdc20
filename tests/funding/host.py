"""A bank's host for tests, a process of its own: ``python -m tests.funding.host [BEHAVIOUR…]``.

It listens on 127.0.0.1, prints its port, and keeps what it knows in memory: ``dump`` on standard
input prints it as one line of JSON, and any other line replaces the behaviours. Behaviours, one
an answer, the last for ever: ``ok``, ``twice``, ``late:SECONDS``, ``never``, ``drop`` (it acts and
hangs up), ``wrong:FIELD=TEXT``, ``garbage``, ``huge``, ``code:NN``, ``other`` (an answer to another
request first). Sign-ons and echoes are always answered, unless it was started with ``silent``.

Written against the standard, not against the service: it shares no code with it.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time

import iso8583
from iso8583.specs import default_ascii

ANSWER = {"0100": "0110", "0200": "0210", "0400": "0410", "0800": "0810"}
ECHOED = ("3", "4", "7", "11", "32", "37", "38", "41", "42", "49", "70")


class Host:
    def __init__(self, behaviours: list[str]) -> None:
        self.lock = threading.Lock()
        self.behaviours = behaviours or ["ok"]
        self.held: dict[str, int] = {}
        self.taken: dict[str, int] = {}
        self.reversed: list[str] = []
        self.seen: list[str] = []
        self.signed_on = 0

    def next_behaviour(self) -> str:
        with self.lock:
            if len(self.behaviours) > 1:
                return self.behaviours.pop(0)
            return self.behaviours[0]

    def act(self, message: dict[str, str], code: str) -> str:
        """What a bank does; each request once, however often it comes."""
        kind, reference = message["t"], message.get("37", "")
        with self.lock:
            self.seen.append(kind)
            if kind == "0800":
                self.signed_on += message["70"] == "001"
                return "00"
            if kind in ("0400", "0401"):
                return self.reverse(message, reference)
            if code != "00":
                return code
            if "2" not in message:
                return "14"
            amount = int(message["4"])
            if reference in self.reversed:
                return "05"
            if kind == "0100":
                self.held[reference] = amount
            elif message["3"].startswith("20"):
                self.taken[reference] = -amount
            else:
                self.held.pop(reference, None)
                self.taken[reference] = amount
        return "00"

    def reverse(self, message: dict[str, str], reference: str) -> str:
        if message["90"][4:10] != message["11"]:
            return "25"
        known = reference in self.held or reference in self.taken
        if "95" in message and known:
            self.taken[reference] = int(message["95"][:12])
            return "00"
        self.held.pop(reference, None)
        self.taken.pop(reference, None)
        self.reversed.append(reference)
        return "00" if known else "25"

    def dump(self) -> str:
        with self.lock:
            return json.dumps(
                {
                    "held": self.held,
                    "taken": self.taken,
                    "reversed": self.reversed,
                    "seen": self.seen,
                    "signed_on": self.signed_on,
                }
            )


def serve(host: Host, connection: socket.socket, silent: bool) -> None:
    with connection:
        while True:
            header = receive(connection, 2)
            if header is None:
                return
            body = receive(connection, struct.unpack(">H", header)[0])
            if body is None:
                return
            message, _ = iso8583.decode(body, default_ascii)
            if message["t"] == "0800":
                host.act(message, "00")
                if not silent:
                    send(connection, answer_to(message, "00"))
            elif not reply(host, connection, message):
                return


def reply(host: Host, connection: socket.socket, message: dict[str, str]) -> bool:
    """Acts, and answers as it is told to; False where it hangs up."""
    behaviour, _, detail = host.next_behaviour().partition(":")
    code = host.act(message, detail if behaviour == "code" else "00")
    answer = answer_to(message, code)
    if behaviour == "drop":
        return False
    if behaviour == "never":
        return True
    if behaviour == "late":
        time.sleep(float(detail))
    if behaviour == "wrong":
        field, _, text = detail.partition("=")
        answer[field] = text
    if behaviour == "garbage":
        connection.sendall(struct.pack(">H", 40) + bytes(range(40)))
        return True
    if behaviour == "huge":
        connection.sendall(b"\xff\xff" + bytes(70_000))
        return True
    if behaviour == "other":
        send(connection, answer | {"11": f"{(int(answer['11']) + 1) % 10**6:06d}"})
    send(connection, answer)
    if behaviour == "twice":
        send(connection, answer)
    return True


def answer_to(message: dict[str, str], code: str) -> dict[str, str]:
    kind = message["t"][:3] + "0"
    answer = {"h": "", "t": ANSWER[kind], "39": code}
    answer |= {name: message[name] for name in ECHOED if name in message}
    if ANSWER[kind] in ("0110", "0210") and code == "00":
        answer.setdefault("38", f"A{message['11'][1:]}")
    return answer


def send(connection: socket.socket, message: dict[str, str]) -> None:
    raw, _ = iso8583.encode(dict(message), default_ascii)
    connection.sendall(struct.pack(">H", len(raw)) + raw)


def receive(connection: socket.socket, number: int) -> bytes | None:
    parts = b""
    while len(parts) < number:
        try:
            part = connection.recv(number - len(parts))
        except OSError:
            return None
        if not part:
            return None
        parts += part
    return parts


def main() -> None:
    silent = "silent" in sys.argv
    host = Host([each for each in sys.argv[1:] if each != "silent"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        threading.Thread(target=obey, args=(host,), daemon=True).start()
        while True:
            connection, _ = server.accept()
            threading.Thread(target=serve, args=(host, connection, silent), daemon=True).start()


def obey(host: Host) -> None:
    for line in sys.stdin:
        if line.strip() == "dump":
            print(host.dump(), flush=True)
        else:
            with host.lock:
                host.behaviours = line.split()
            print("ok", flush=True)


if __name__ == "__main__":
    main()
