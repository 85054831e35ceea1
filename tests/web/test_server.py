"""The server answers its own pages and files, and nobody else's requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from mechscope.checkpoints.registry import bundled_names
from mechscope.pages.site import HomeEntry, PageContext, SitePage, SiteRoom, collect_site, find_rooms
from mechscope.web.security import is_loopback

pytest.importorskip("starlette", reason="needs the web lab's server: pip install 'mechscope[web]'")
from starlette.testclient import TestClient

from mechscope.web.server import make_app
from tests.web.pages import PAGE


def client(**options: object) -> TestClient:
    return TestClient(make_app(**options), base_url="http://127.0.0.1:8080", follow_redirects=False)


def test_every_page_is_served_with_and_without_its_file_name() -> None:
    ours = client()
    pages = list(collect_site().pages)
    # Entries and problems differ in their data only.
    alike = [route for route in pages if route.startswith(("glossary/", "problems/"))]
    for route in [route for route in pages if route not in alike] + alike[::25]:
        answer = ours.get(f"/{route}")
        assert answer.status_code == 200, route
        assert answer.text == ours.get(f"/{route}index.html").text
    assert ours.get("/models").headers["location"] == "/models/"


@pytest.mark.parametrize(
    "path",
    [
        "/nothing/",
        "/static/../server.py",
        "/static/..%2fserver.py",
        "/files/models/..%2f..%2f..%2fpyproject.toml",
        "/static/",
        "//etc/passwd",
        "/files/models/mini-gelu-1l/card.md",
    ],
)
def test_only_listed_files_are_served(path: str) -> None:
    answer = client().get(path)
    assert answer.status_code == 404
    assert "There is no page" in answer.text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200),
        ("localhost:8080", 200),
        ("[::1]:8080", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8080", 421),
        ("", 421),
        ("[", 421),
    ],
)
def test_other_host_names_are_refused(host: str, status: int) -> None:
    assert client().get("/", headers={"host": host}).status_code == status


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999"])
def test_other_sites_may_not_send_anything(origin: str) -> None:
    assert client().post("/", headers={"origin": origin}).status_code == 403


def test_its_own_pages_may() -> None:
    # No page takes posts yet; what matters is that the guard lets this one through.
    assert client().post("/", headers={"origin": "http://127.0.0.1:8080"}).status_code == 405


def test_pages_may_load_scripts_from_here_only() -> None:
    policy = client().get("/").headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


def test_a_server_for_others_asks_for_its_token() -> None:
    others = client(names=("192.0.2.1", "127.0.0.1"), token="secret")
    assert others.get("/").status_code == 401
    assert others.get("/?token=guess").status_code == 401
    answer = others.get("/models/?token=secret")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/models/"
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert others.get("/models/").status_code == 200  # the client keeps the cookie


def test_which_addresses_only_this_machine_reaches() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"]))
    assert not any(map(is_loopback, ["0.0.0.0", "192.0.2.1", "::", "example.org", ""]))


def test_names_and_texts_are_escaped() -> None:
    room = SiteRoom([SitePage("", "<script>alert(1)</script>", PAGE)])
    text = client(site=collect_site([room])).get("/").text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_pages_know_whether_a_server_answers() -> None:
    seen: list[PageContext] = []

    def content(context: PageContext) -> dict[str, str]:
        seen.append(context)
        return {}

    page = SitePage("a/b/", "A", PAGE, content)
    client(site=collect_site([SiteRoom([page])]), runs=Path("elsewhere")).get("/a/b/")
    assert seen[0].is_served
    assert seen[0].runs == Path("elsewhere")
    assert seen[0].to("") == "../../index.html"


def test_the_list_of_models_says_what_each_one_is() -> None:
    page = client().get("/models/").text
    for name in bundled_names():
        assert f">{name}</a><p>A " in page
    assert "mini-gelu-1l once more with other initial weights" in page


def test_the_browser_keeps_files_that_have_not_changed() -> None:
    ours = client()
    first = ours.get("/static/plotly.js")
    assert first.headers["content-type"].startswith("text/javascript")
    assert len(first.content) > 1_000_000
    again = ours.get("/static/plotly.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    assert ours.get("/static/plotly.js", headers={"if-none-match": '"other"'}).status_code == 200


def test_a_file_of_the_reader_s_runs_is_sent_to_be_saved(tmp_path: Path) -> None:
    room = SiteRoom(
        [SitePage("", "Home", PAGE)],
        run_files={"a/report.html": lambda runs: runs / "x.html" if (runs / "x.html").is_file() else None},
    )
    ours = client(site=collect_site([room]), runs=tmp_path)
    assert ours.get("/a/report.html").status_code == 404
    (tmp_path / "x.html").write_text("<script>alert(1)</script>")
    answer = ours.get("/a/report.html")
    assert (answer.status_code, answer.text) == (200, "<script>alert(1)</script>")
    # Not shown under this server's address, where its scripts could ask the server for anything.
    assert answer.headers["content-disposition"] == 'attachment; filename="a-report.html"'


def test_the_home_page_lists_what_rooms_offer() -> None:
    entry = HomeEntry("Observatory", "Every <word> in a sentence.", "observatory/")
    rooms = [*find_rooms(), SiteRoom([SitePage("observatory/", "Observatory", PAGE)], home=[entry])]
    text = client(site=collect_site(rooms)).get("/").text
    assert '<a href="observatory/index.html">Observatory</a><p>Every &lt;word&gt; in a sentence.</p>' in text
    with pytest.raises(ValueError, match="lists 'Observatory' at 'observatory/', which is no page"):
        collect_site([SiteRoom([], home=[entry])])
