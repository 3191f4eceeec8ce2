"""The gateway of the soak: the real one, which also tells how many tasks, files and bytes it holds.

``python -m bench.soak.gateway CONFIG`` prints one JSON line with its port, then one with its state for each
line that it reads.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from pathlib import Path

import uvloop

from bench.soak.pipe import lines
from spillway.api.assembly import Assembly
from spillway.api.server import GatewayServer, bind
from spillway.config.load import load_config

__all__ = ["main"]

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def state(assembly: Assembly) -> dict[str, object]:
    """What would grow if something leaked."""
    fleet = assembly.fleet.upstreams.values()
    return {
        "at_s": time.monotonic(),
        "cpu_s": time.process_time(),
        "rss_mib": int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES / 2**20,
        "files": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "tasks": len(asyncio.all_tasks()),
        "objects": len(gc.get_objects()),
        "in_flight": sum(upstream.in_flight for upstream in fleet),
        "waiting": sum(len(upstream.queue) for upstream in fleet),
        "backlog": assembly.writer.state.backlog_rows,
    }


async def main(path: Path) -> None:
    """Serves until its input ends."""
    assembly = Assembly(load_config(path, os.environ).config)
    sock = bind("127.0.0.1", 0)
    await assembly.start()
    server = GatewayServer(assembly.gateway)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    print(json.dumps({"port": sock.getsockname()[1]}), flush=True)
    async for _ in lines():
        print(json.dumps(state(assembly)), flush=True)
    server.should_exit = True
    await serving
    await assembly.close()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
