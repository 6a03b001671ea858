"""Work of the content model in processes of their own."""

from __future__ import annotations

import asyncio
import os
import sys

from reco_stream.content.fit import ONE_THREAD


class WorkFailed(Exception):
    """The process ended with an error; the message is the end of what it said."""


async def run_module(module: str, *arguments: str) -> bytes:
    """Return what `python -m module arguments` printed. Raises WorkFailed; a cancelled caller takes it along."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **ONE_THREAD},
    )
    try:
        printed, complained = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise WorkFailed(f"{module} ended with {process.returncode}: {complained.decode(errors='replace')[-500:]}")
    return printed
