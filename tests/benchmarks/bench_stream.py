"""How many lines of a pull our client reads in a second, against the official one in the same run.

``python tests/benchmarks/bench_stream.py [--lines N] [--at-least RATIO]`` prints the medians of three runs each and
their ratio; the exit code is 1 when the ratio is below the one asked for. A loopback server in another process sends
lines as the real one frames them, each in its own HTTP chunk, as fast as they are taken. Beside it, how late a 5 ms
probe on the idle loop and on the reading loop wakes.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from multiprocessing.connection import Connection

import ollama

from launcher.ollama import Client

DIGEST = "sha256:772da61a4fe9322745b4eef8b56fae3afbb4f7cc95af46306d464ce8f8f2e911"
TOTAL_BYTES = 756_461_696
RUNS = 3
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"

Reader = Callable[[str], Coroutine[None, None, int]]


def flood(lines: int) -> bytes:
    """Build the whole answer to a pull: so many lines of progress, then success."""
    pieces = [
        b'{"status":"pulling 772da61a4fe9","digest":"%b","total":%d,"completed":%d}\n'
        % (DIGEST.encode(), TOTAL_BYTES, 1 + TOTAL_BYTES * n // lines)
        for n in range(lines)
    ]
    pieces.append(b'{"status":"success"}\n')
    return HEAD + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def serve(answer: bytes, ready: Connection) -> None:
    """Send the answer to whoever connects, one after another."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ready.send(listening.getsockname()[1])
        while True:
            connection, _ = listening.accept()
            with connection:
                while not connection.recv(65536).endswith(b"}"):
                    pass
                connection.sendall(answer)


async def read_with_ours(address: str) -> int:
    count = 0
    async with Client(address) as client, aclosing(client.pull("m")) as stream:
        async for _ in stream:
            count += 1
    return count


async def read_with_official(address: str) -> int:
    count = 0
    async for _ in await ollama.AsyncClient(address).pull("m", stream=True):
        count += 1
    return count


async def lateness_ms(work: Awaitable[object]) -> float:
    """Return the worst lateness of a 5 ms probe beside some work."""
    worst_s = 0.0

    async def probe() -> None:
        nonlocal worst_s
        while True:
            began_s = time.perf_counter()
            await asyncio.sleep(0.005)
            worst_s = max(worst_s, time.perf_counter() - began_s - 0.005)

    task = asyncio.create_task(probe())
    await work
    task.cancel()
    return worst_s * 1000


def lines_per_s(reader: Reader, address: str, lines: int) -> float:
    began_s = time.perf_counter()
    count = asyncio.run(reader(address))
    took_s = time.perf_counter() - began_s
    if count != lines + 1:
        sys.exit(f"{reader.__name__} has read {count} lines, not {lines + 1}")
    return count / took_s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lines", type=int, default=40_000)
    parser.add_argument("--at-least", type=float, default=1.0, help="the ratio below which the exit code is 1")
    options = parser.parse_args()

    receiving, sending = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.Process(target=serve, args=(flood(options.lines), sending), daemon=True)
    server.start()
    try:
        address = f"http://127.0.0.1:{receiving.recv()}"
        readers: tuple[Reader, Reader] = (read_with_ours, read_with_official)
        for reader in readers:
            lines_per_s(reader, address, options.lines)  # warm up
        figures: dict[Reader, list[float]] = {reader: [] for reader in readers}
        for _ in range(RUNS):
            for reader in readers:
                figures[reader].append(lines_per_s(reader, address, options.lines))
        idle_ms = asyncio.run(lateness_ms(asyncio.sleep(1)))
        busy_ms = asyncio.run(lateness_ms(read_with_ours(address)))
    finally:
        server.terminate()
        server.join()
    ours, official = (statistics.median(figures[reader]) for reader in readers)
    print(f"ours      {ours:9,.0f} lines/s   {1e6 / ours:5.1f} us a line   {figures[read_with_ours]}")
    print(f"official  {official:9,.0f} lines/s   {1e6 / official:5.1f} us a line   {figures[read_with_official]}")
    print(f"ratio     {ours / official:9.2f}")
    print(f"5 ms probe, latest wake-up: {idle_ms:.1f} ms idle, {busy_ms:.1f} ms while reading")
    return 0 if ours / official >= options.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
