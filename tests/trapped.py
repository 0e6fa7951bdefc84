"""Run commands where every look-up of a name is recorded: python trapped.py '[[PROGRAM, ARGUMENT, ...], ...]'.

Needs `unshare -rnm`: namespaces of its own for the network and for the files, in which this process is the name server.
"""

import fcntl
import json
import socket
import struct
import subprocess
import sys
import tempfile
import threading

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def bring_up_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def name_in(query):
    """Return the name that a query of DNS is about."""
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels)


def main():
    bring_up_loopback()
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as resolver:
        resolver.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        resolver.flush()
        subprocess.run(["mount", "--bind", resolver.name, "/etc/resolv.conf"], check=True)
        server, names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), []
        server.bind(("127.0.0.1", 53))

        def listen():
            while True:
                query, address = server.recvfrom(4096)
                names.append(name_in(query))
                server.sendto(query[:2] + b"\x81\x83" + query[4:], address)  # there is no such name

        threading.Thread(target=listen, daemon=True).start()
        failed = []
        for command in json.loads(sys.argv[1]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                failed.append(done.stderr[-2000:])
        print(json.dumps({"names": names, "failed": failed}))


if __name__ == "__main__":
    main()
