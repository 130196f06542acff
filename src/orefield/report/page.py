"""One HTML page that is complete in itself: style, script and pictures lie inside of it."""

import base64
from hashlib import sha256
from importlib.resources import files

from orefield._version import __version__
from orefield.report.markup import Html, join, tag, text


def page(title: str, body: Html) -> str:
    """The whole document.

    Its policy lets a browser load nothing from elsewhere, and run no script and no style but the
    two of this package, which it names by their digests.
    """
    style, script = _part("page.css"), _part("page.js")
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    )
    head = [
        tag("meta", attributes={"charset": "utf-8"}),
        tag("meta", attributes={"http-equiv": "Content-Security-Policy", "content": policy}),
        tag("meta", attributes={"name": "viewport", "content": "width=device-width"}),
        tag("meta", attributes={"name": "color-scheme", "content": "light dark"}),
        tag("link", attributes={"rel": "icon", "href": "data:,"}),
        tag("title", text(title)),
        tag("style", Html(style)),
    ]
    foot = tag("footer", text(f"Written by Orefield {__version__}."))
    inside = join([tag("main", body), foot, tag("script", Html(script))])
    document = tag("html", join([tag("head", join(head)), tag("body", inside)]), {"lang": "en"})
    return f"<!doctype html>\n{document}\n"


def _part(name: str) -> str:
    return files("orefield.report").joinpath(name).read_text(encoding="utf-8")


def _digest(source: str) -> str:
    return f"sha256-{base64.b64encode(sha256(source.encode()).digest()).decode()}"
