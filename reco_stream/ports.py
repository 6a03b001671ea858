"""Free TCP ports on this machine."""

import random
import socket

# Below the range that Linux gives to outgoing connections (32768 and up), so that no client takes the port in between.
LOWEST_PORT = 20_000
HIGHEST_PORT = 32_000
MAX_TRIES = 1_000


def is_port_free(port: int, host: str = "127.0.0.1") -> bool:
    """True when a server could listen on `host:port` now.

    >>> is_port_free(0)
    True
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """`count` different ports of 127.0.0.1 that nobody listens on. Raises OSError when none is left.

    >>> len(set(free_ports(3)))
    3
    """
    chosen: list[int] = []
    for _ in range(MAX_TRIES):
        if len(chosen) == count:
            return chosen
        port = random.randint(LOWEST_PORT, HIGHEST_PORT)
        if port not in chosen and is_port_free(port):
            chosen.append(port)
    if len(chosen) == count:
        return chosen
    raise OSError(f"found {len(chosen)} free ports between {LOWEST_PORT} and {HIGHEST_PORT}, wanted {count}")
