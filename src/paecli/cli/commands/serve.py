"""`pae serve`: the page for what is awkward at a prompt."""

from contextlib import suppress
from typing import Annotated

import typer

from paecli.cli.checks import check_model, require_extra
from paecli.cli.console import complain, print_json, say
from paecli.cli.options import Json, Model, Threads


def serve(
    model: Model = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port on 127.0.0.1; 0 is any free one. Default: 8620, or any if it is taken.",
            show_default=False,
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
    threads: Threads = "auto",
    json: Json = False,
) -> None:
    """Serves a page to restore, find and explore by mouse, finger or keyboard.

    The page is for this machine and whoever has the address with its token. Images stay in memory
    and are forgotten when they are answered. Ctrl-C ends it. Needs the extra: `pip install
    'paecli[web]'`.

    Examples:

        pae serve

        pae serve runs/fmnist --port 9000 --no-browser
    """
    from paecli.serve.address import address_of, listen, new_token, open_browser

    require_extra("web")
    contents = check_model(model, patches=True)
    with listen(port) as listening:
        token = new_token()
        address = address_of(listening, token)
        say(f"Loading {contents.path.name} ...")
        from paecli.serve.run import serve as run

        def ready() -> None:
            if json:
                print_json({"address": address})
            else:  # also with --quiet, without which nobody could open it
                complain(f"The page is at {address}")
            say("Ctrl-C ends it.")
            if browser and not open_browser(address):
                say("There is no screen here to open a browser on; open the address yourself.")

        with suppress(KeyboardInterrupt):  # the server may have taken the signal itself
            run(
                contents.path,
                model or contents.path.stem,
                listening=listening,
                token=token,
                ready=ready,
            )
        say("Stopped.")
