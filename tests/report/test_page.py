"""Laws of the page around the parts: it is whole, and asks for nothing from elsewhere."""

import base64
import re
from hashlib import sha256

from made_runs import HOSTILE
from orefield.report.markup import Html, text
from orefield.report.page import page


def test_the_policy_names_the_digests_of_the_style_and_the_script() -> None:
    whole = page("t", Html("<p>x</p>"))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', whole)
    for kind in ("style", "script"):
        (inner,) = re.findall(f"<{kind}>(.*?)</{kind}>", whole, re.DOTALL)
        digest = base64.b64encode(sha256(inner.encode()).digest()).decode()
        assert f"{kind}-src &#x27;sha256-{digest}&#x27;" in policy
    assert policy.startswith("default-src &#x27;none&#x27;")
    assert "img-src data:;" in policy


def test_a_page_has_no_address_and_no_attribute_with_a_script_or_a_style() -> None:
    whole = page("t", Html("<p>x</p>"))
    assert "http:" not in whole
    assert "https:" not in whole
    assert not re.search(r"<[^>]* (on\w+|style)=", whole)
    assert not re.search(r"@import|@font-face|url\(", whole)


def test_a_hostile_title_stays_a_title() -> None:
    assert f"<title>{text(HOSTILE)}</title>" in page(HOSTILE, Html(""))
    assert "<script>document" not in page(HOSTILE, Html(""))
