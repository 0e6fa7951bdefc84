"""The commands that serve a bundle: an HTTP server with a page, and the page alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from dspkd.cli.bundle_limits import limited
from dspkd.cli.errors import one_line_errors
from dspkd.errors import ServeError

app = typer.Typer()

TOKEN = "DSPKD_TOKEN"
"""The variable of the environment that holds the token."""

BundleArgument = Annotated[Path, typer.Argument(help="A bundle, as dspkd export writes it.")]


@app.command()
def serve(
    bundle: BundleArgument,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 accepts other machines.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="Port to listen on; 0 takes a free one.")
    ] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar=TOKEN,
            help="Require this bearer token of every client. The variable keeps it out of the list of processes.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, metavar="N", help="Images predicted at once; by default one for each core."),
    ] = None,
    keep_alive: Annotated[
        int,
        typer.Option(
            min=1, max=3600, metavar="N", help="Seconds that a connection may stay open between two requests."
        ),
    ] = 5,
    forwarded_allow_ips: Annotated[
        str, typer.Option(help="Proxies whose X-Forwarded headers are believed: addresses separated by commas, or *.")
    ] = "127.0.0.1,::1",
    root_path: Annotated[str, typer.Option(help="Path under which a proxy shows the server, such as /skin.")] = "",
) -> None:
    """Serve a bundle over HTTP, with a page for single images. No diagnosis.

    POST /predict takes one or several JPEG, PNG or WebP files in the form field "files"; GET /openapi.json describes
    the rest. Images stay in memory, and out of every log. SIGTERM or Ctrl-C finishes the running requests.
    """
    with one_line_errors():
        from dspkd.deploy import Predictor
        from dspkd.deploy.bundle.reader import open_bundle
        from dspkd.deploy.serve import server

        if token == "" or (token is None and os.environ.get(TOKEN) == ""):
            raise ServeError(
                f"--token or {TOKEN}: is empty, which would let every client in; give a token, or for a server without "
                "one leave both out"
            )
        with limited(bundle):
            Predictor(bundle)
        server.run(
            open_bundle(bundle),
            host=host,
            port=port,
            workers=workers,
            token=token,
            log=typer.echo,
            keep_alive=keep_alive,
            proxy=server.Proxy(trusted=forwarded_allow_ips, prefix=root_path),
        )


@app.command()
def web(
    bundle: BundleArgument,
    out: Annotated[Path, typer.Option(help="Folder to write; must be empty or not exist yet.")],
) -> None:
    """Write a page that runs a bundle in the browser: static files, from which no image is ever uploaded.

    Any web server can serve them, over https or from localhost. Try it: python -m http.server --directory DIR
    """
    with one_line_errors():
        from dspkd.deploy.bundle.reader import open_bundle
        from dspkd.deploy.serve import web_page

        written = web_page.write(open_bundle(bundle), out)
        typer.echo(f"{len(written)} files, {sum(path.stat().st_size for path in written) / 1e6:.1f} MB, in {out}")
