"""How many lines of a pull and of a chat our client reads in a second, and how soon it has the first of an answer.

``python tests/benchmarks/bench_stream.py [--lines N] [--at-least RATIO]`` measures the official client in the same run
and prints the medians and their ratios; the exit code is 1 when a ratio is below the one asked for. A loopback server
in another process sends lines as the real one frames them, each in its own HTTP chunk, as fast as they are taken. The
two take turns. Beside it, how late a 5 ms probe on the idle loop and on the reading loop wakes.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import statistics
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing, suppress
from multiprocessing.connection import Connection

import ollama

from launcher.ollama import Client

DIGEST = "sha256:772da61a4fe9322745b4eef8b56fae3afbb4f7cc95af46306d464ce8f8f2e911"
TOTAL_BYTES = 756_461_696
RUNS = 5
ANSWERS = 200
"""So many first pieces are timed in a run."""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
ASK = [{"role": "user", "content": "Why is the sky blue?"}]

Reader = Callable[[str], Coroutine[None, None, float]]


def framed(pieces: Sequence[bytes]) -> bytes:
    return HEAD + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def pulled(lines: int) -> bytes:
    """Build the whole answer to a pull: so many lines of progress, then success."""
    pieces = [
        b'{"status":"pulling 772da61a4fe9","digest":"%b","total":%d,"completed":%d}\n'
        % (DIGEST.encode(), TOTAL_BYTES, 1 + TOTAL_BYTES * n // lines)
        for n in range(lines)
    ]
    return framed([*pieces, b'{"status":"success"}\n'])


def chatted(lines: int) -> bytes:
    """Build the whole answer to a chat: so many tokens, then the counts. Shaped as by 0.33.0-rc2."""
    start = b'{"model":"llama3.2:1b","created_at":"2026-11-21T05:39:26.294087749Z",'
    token = start + b'"message":{"role":"assistant","content":" word"},"done":false}\n'
    last = (
        b'"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":5346334,'
        b'"load_duration":1091918,"prompt_eval_count":55,"prompt_eval_duration":622000,"eval_count":20,'
        b'"eval_duration":1983000}\n'
    )
    return framed([*[token] * lines, start + last])


def serve(lines: int, ready: Connection) -> None:
    """Answer whoever connects, each on a thread, by the path that is asked for; model ``short`` gets one token."""
    answers = {b"/api/pull": pulled(lines), b"/api/chat": chatted(lines)}
    short = chatted(1)

    def talk(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, suppress(ConnectionError):
            while True:
                request = b""
                while not request.endswith(b"}"):
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    request += piece
                connection.sendall(short if b'"short"' in request else answers[request.split(b" ", 2)[1]])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        ready.send(listening.getsockname()[1])
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=talk, args=(connection,), daemon=True).start()


async def pull_with_ours(address: str) -> float:
    count = 0
    async with Client(address) as client, aclosing(client.pull("m")) as stream:
        async for _ in stream:
            count += 1
    return count


async def pull_with_official(address: str) -> float:
    count = 0
    async for _ in await ollama.AsyncClient(address).pull("m", stream=True):
        count += 1
    return count


async def chat_with_ours(address: str) -> float:
    count = 0
    async with Client(address) as client, aclosing(client.stream_chat("m", ASK)) as stream:
        async for _ in stream:
            count += 1
    return count


async def chat_with_official(address: str) -> float:
    count = 0
    async for _ in await ollama.AsyncClient(address).chat("m", ASK, stream=True):
        count += 1
    return count


async def first_with_ours(address: str) -> float:
    """Return the median of what the first piece takes, in seconds; the connection is there already."""
    took_s = []
    async with Client(address) as client:
        for _ in range(ANSWERS):
            began_s = time.perf_counter()
            async with aclosing(client.stream_chat("short", ASK)) as stream:
                await anext(stream)
                took_s.append(time.perf_counter() - began_s)
                async for _ in stream:
                    pass
    return statistics.median(took_s)


async def first_with_official(address: str) -> float:
    took_s = []
    client = ollama.AsyncClient(address)
    for _ in range(ANSWERS):
        began_s = time.perf_counter()
        stream = await client.chat("short", ASK, stream=True)
        await anext(stream)
        took_s.append(time.perf_counter() - began_s)
        async for _ in stream:
            pass
    return statistics.median(took_s)


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


def answers_per_s(reader: Reader, address: str, lines: int) -> float:
    return 1 / asyncio.run(reader(address))


PAIRS: dict[str, tuple[Callable[[Reader, str, int], float], Reader, Reader]] = {
    "lines of a pull": (lines_per_s, pull_with_ours, pull_with_official),
    "lines of a chat": (lines_per_s, chat_with_ours, chat_with_official),
    "first pieces": (answers_per_s, first_with_ours, first_with_official),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lines", type=int, default=40_000)
    parser.add_argument("--at-least", type=float, default=1.0, help="the ratio below which the exit code is 1")
    options = parser.parse_args()

    receiving, sending = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.Process(target=serve, args=(options.lines, sending), daemon=True)
    server.start()
    slowest = float("inf")
    try:
        address = f"http://127.0.0.1:{receiving.recv()}"
        for name, (measure, *readers) in PAIRS.items():
            for reader in readers:
                measure(reader, address, options.lines)  # warm up
            # One after the other, so that what else the machine does hits both.
            turns = [[measure(reader, address, options.lines) for reader in readers] for _ in range(RUNS)]
            ours, official = (statistics.median(figures) for figures in zip(*turns, strict=True))
            ratio = statistics.median(turn[0] / turn[1] for turn in turns)
            slowest = min(slowest, ratio)
            print(f"{name:16} ours {ours:9,.0f}/s {1e6 / ours:7.1f} us", end="   ")
            print(f"official {official:9,.0f}/s {1e6 / official:7.1f} us   ratio {ratio:.2f}")
        idle_ms = asyncio.run(lateness_ms(asyncio.sleep(1)))
        busy_ms = asyncio.run(lateness_ms(chat_with_ours(address)))
    finally:
        server.terminate()
        server.join()
    print(f"5 ms probe, latest wake-up: {idle_ms:.1f} ms idle, {busy_ms:.1f} ms while reading")
    return 0 if slowest >= options.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
