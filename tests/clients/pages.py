"""Pages for a browser, each with one script of this folder, bundled as an app's build does."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from emulator.server import Server

HERE = Path(__file__).parent


@contextmanager
def serving(script: str, *routes: BaseRoute) -> Iterator[str]:
    """Serve a page with a script, and more routes.

    Args:
        script: the script's file name.

    Yields:
        The page's origin.
    """
    with TemporaryDirectory(prefix="livetoken-page-") as folder:
        bundle = Path(folder, "bundle.js")
        esbuild = HERE / "node_modules/.bin/esbuild"
        how = ["--bundle", "--format=esm", f"--outfile={bundle}", "--log-level=warning"]
        subprocess.run([esbuild, script, *how], cwd=HERE, check=True)

        async def page(_: Request) -> Response:
            return HTMLResponse('<!doctype html><script type="module" src="/bundle.js"></script>')

        async def bundled(_: Request) -> Response:
            return FileResponse(bundle)

        served = [Route("/", page), Route("/bundle.js", bundled), *routes]
        with Server(Starlette(routes=served)) as server:
            yield server.url
