"""Pages of the web lab: what a room contributes, and how the rooms that contribute are found.

A room contributes pages by having a module `site_pages` with a function of the same name. The server and the builder of
the static site ask every room, so that a new room needs no change in either.

Links on pages are relative and name `index.html`, so that a page works under any path and opened from a file.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mechscope.pages.endpoints import Endpoint
from mechscope.pages.jobs import JobKind
from mechscope.pages.terms import Term

ROOM_MODULE = "site_pages"
TERMS_MODULE = "site_terms"


@dataclass(frozen=True)
class PageContext:
    """What a page must know about the site around it."""

    route: str
    """The page's own route."""
    is_served: bool
    """Whether a server answers, which can do what the browser cannot."""
    runs: Path | None = None
    """The folder of the learner's runs (it may be missing or empty), or None for a site without any."""

    @property
    def root(self) -> str:
        """Relative link to the folder of the home page: "" or "../../"."""
        return "../" * self.route.count("/")

    def to(self, route: str) -> str:
        """Relative link to another page of the site.

        >>> PageContext("models/ioi-twin/", is_served=True).to("circuits/")
        '../../circuits/index.html'
        """
        return f"{self.root}{route}index.html"

    def file(self, path: str) -> str:
        """Relative link to a file of the site.

        >>> PageContext("models/ioi-twin/", is_served=True).file("files/a.json")
        '../../files/a.json'
        """
        return f"{self.root}{path}"


@dataclass(frozen=True)
class SitePage:
    """One page of the web lab."""

    route: str
    """Its folder in the site: "" for the home page, otherwise ending with a slash, as in "models/ioi-twin/"."""
    title: str
    """What it is called in the browser's title and in links."""
    template: Path
    """A template that extends site_frame.html and fills its block `main`."""
    content: Callable[[PageContext], Mapping[str, Any]] = lambda context: {}
    """The template's variables; called whenever the page is requested. `context`, `page`, `menu` and
    `home` are added."""
    navigation: str = ""
    """Its label in the menu of every page; empty if it is reached in other ways."""
    scripts: Sequence[str] = ()
    """ES modules that the page runs, by file name (see `SiteRoom.modules`)."""
    has_figures: bool = False
    """Whether it has Plotly figures (`pages.figures.figure_html`), for which Plotly is loaded."""
    needs_server: str = ""
    """What the page cannot do in a static site, in a sentence that names the command to use; usually empty."""
    summary: str = ""
    """What it is about, in one sentence, for pages that list it."""
    links_terms: bool = False
    """Whether terms in its `<article class="lesson">` link to the pages that explain them (see `SiteRoom.terms`)."""

    def __post_init__(self) -> None:
        parts = self.route.split("/")
        if self.route and (parts.pop() or any(part in ("", ".", "..") for part in parts)):
            raise ValueError(
                f"the route of a page is empty or a folder such as 'models/ioi-twin/', not {self.route!r}."
            )


@dataclass(frozen=True)
class HomeEntry:
    """A link on the home page to what a room offers."""

    title: str
    """What it is called."""
    words: str
    """What a reader can do there, in a sentence or two."""
    route: str
    """The page that it leads to."""


@dataclass(frozen=True)
class Backlink:
    """A link that one room asks another room's page to show, so that the other room need not know it."""

    on: str
    """The route of the page that shows the link."""
    route: str
    """The page that it leads to."""
    title: str
    """What that page is called."""
    kind: str
    """The heading under which such links stand: "Open problems"."""


@dataclass(frozen=True)
class SiteRoom:
    """What a room contributes to the site."""

    pages: Sequence[SitePage]
    """Its pages."""
    modules: Sequence[Path] = ()
    """ES modules (.js) that its pages use. File names are unique in the whole site."""
    styles: Sequence[Path] = ()
    """Style sheets, added to those of the frame on every page."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Path in the site → file that scripts read, as in "files/models/ioi-twin/config.json"."""
    made_files: Mapping[str, Callable[[], bytes]] = field(default_factory=dict[str, Callable[[], bytes]])
    """Path in the site → function that makes the content of a file when it is needed, for scripts or to be saved by
    readers, as in "steps/03-induction/03-induction.ipynb"."""
    home: Sequence[HomeEntry] = ()
    """What the home page says about it."""
    endpoints: Sequence[Endpoint] = ()
    """What its pages may ask a server for; a static site has none."""
    jobs: Sequence[JobKind] = ()
    """What a server can run for a reader; a static site runs nothing."""
    run_files: Mapping[str, Callable[[Path], Path | None]] = field(
        default_factory=dict[str, Callable[[Path], Path | None]]
    )
    """Path in the site → function that finds a file of the reader's runs in their folder, or None if there is none. A
    server sends it to be saved, because it may hold scripts; a static site has none."""
    terms: Sequence[Term] = ()
    """Terms that its pages explain; lessons of all rooms link to them."""
    redirects: Mapping[str, str] = field(default_factory=dict[str, str])
    """Addresses that are no page, with a * for any part of them → page that reads this part behind # in its own
    address. With {"neuroscope/*": "neuroscope/unit/"}, a server leads from neuroscope/a/17/ to neuroscope/unit/#a/17.
    The first that fits counts."""
    backlinks: Sequence[Backlink] = ()
    """Links to its pages that pages of other rooms show."""


@dataclass(frozen=True)
class Site:
    """Everything that all rooms contribute."""

    pages: Mapping[str, SitePage]
    """Route → page."""
    modules: Mapping[str, Path]
    """File name → ES module."""
    styles: Sequence[Path]
    """Style sheets in the order of the rooms."""
    files: Mapping[str, Path]
    """Path in the site → file."""
    made_files: Mapping[str, Callable[[], bytes]] = field(default_factory=dict[str, Callable[[], bytes]])
    """Path in the site → function that makes the content of a file."""
    home: Sequence[HomeEntry] = ()
    """What the home page lists, in the order of the rooms."""
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict[str, Endpoint])
    """Method and path → endpoint, as in "POST models/{model}/loss"."""
    run_files: Mapping[str, Callable[[Path], Path | None]] = field(
        default_factory=dict[str, Callable[[Path], Path | None]]
    )
    """Path in the site → function that finds a file of the reader's runs."""
    jobs: Mapping[str, JobKind] = field(default_factory=dict[str, JobKind])
    """Name → kind of job."""
    terms: Sequence[Term] = ()
    """Terms that have a page."""
    backlinks: Mapping[str, Sequence[Backlink]] = field(default_factory=dict[str, Sequence[Backlink]])
    """Route → links that the page shows for other rooms."""
    redirects: Mapping[str, str] = field(default_factory=dict[str, str])
    """Addresses with a * for any part of them → page that reads this part behind # in its own address."""

    def redirected(self, path: str) -> str | None:
        """Where an address leads that is no page; None if nowhere.

        >>> Site({}, {}, (), {}, redirects={"a/*/labels/": "labels/", "a/*": "b/"}).redirected("a/x/y/labels")
        'labels/#x/y'
        """
        whole = f"{path.rstrip('/')}/"
        for pattern, route in self.redirects.items():
            before, _, after = pattern.partition("*")
            if whole.startswith(before) and whole.endswith(after) and len(whole) > len(before) + len(after):
                return f"{route}#{quote(whole[len(before) : len(whole) - len(after)].rstrip('/'))}"
        return None

    @property
    def menu(self) -> list[SitePage]:
        """The pages that the menu lists."""
        return [page for page in self.pages.values() if page.navigation]

    def under(self, route: str) -> list[SitePage]:
        """The pages below a route, such as "circuits/"."""
        return [page for name, page in self.pages.items() if name.startswith(route) and name != route]


def collect_site(rooms: Sequence[SiteRoom] | None = None) -> Site:
    """The whole site.

    Args:
        rooms: what to collect; None asks every room of the package.

    Raises:
        ValueError: if two rooms use one route, module name, file path, endpoint, kind of job or redirect, or the home
            page would link to a page that is missing, as would a link for another room.
    """
    pages: dict[str, SitePage] = {}
    modules: dict[str, Path] = {}
    files: dict[str, Path] = {}
    made_files: dict[str, Callable[[], bytes]] = {}
    run_files: dict[str, Callable[[Path], Path | None]] = {}
    endpoints: dict[str, Endpoint] = {}
    jobs: dict[str, JobKind] = {}
    styles: list[Path] = []
    home: list[HomeEntry] = []
    terms: list[Term] = []
    redirects: dict[str, str] = {}
    backlinks: dict[str, list[Backlink]] = {}
    for room in find_rooms() if rooms is None else rooms:
        _add(pages, {page.route: page for page in room.pages}, "route")
        _add(modules, {path.name: path for path in room.modules}, "module")
        _add(files, room.files, "file")
        _add(made_files, room.made_files, "file")
        _add(run_files, room.run_files, "file")
        _add(endpoints, {endpoint.name: endpoint for endpoint in room.endpoints}, "endpoint")
        _add(jobs, {kind.name: kind for kind in room.jobs}, "kind of job")
        styles += room.styles
        home += room.home
        terms += room.terms
        _add(redirects, room.redirects, "redirect")
        for link in room.backlinks:
            backlinks.setdefault(link.on, []).append(link)
    if both := sorted(files.keys() & made_files.keys() | files.keys() & run_files.keys()):
        raise ValueError(f"two rooms contribute the file {both[0]!r} to the site.")
    for entry in home:
        if entry.route not in pages:
            raise ValueError(f"the home page lists {entry.title!r} at {entry.route!r}, which is no page.")
    for link in (link for links in backlinks.values() for link in links):
        if link.route not in pages:
            raise ValueError(f"{link.on!r} links to {link.title!r} at {link.route!r}, which is no page.")
    return Site(
        pages,
        modules,
        styles,
        files,
        made_files,
        home,
        endpoints,
        run_files,
        jobs,
        terms,
        backlinks,
        redirects,
    )


def find_rooms() -> list[SiteRoom]:
    """What every package of mechscope with a module `site_pages` contributes, in alphabetical order."""
    return [module.site_pages() for module in _modules_called(ROOM_MODULE)]


@cache
def known_terms() -> tuple[Term, ...]:
    """The terms of every package with a module `site_terms`, for pages that are not part of a site, such as reports.

    No page of a site is made for it.
    """
    return tuple(term for module in _modules_called(TERMS_MODULE) for term in module.site_terms())


def _modules_called(name: str) -> list[Any]:
    """The modules with this name in the packages of mechscope, in alphabetical order of the packages."""
    import mechscope

    # By files, because asking for a package's modules would import every package.
    files = [file for folder in mechscope.__path__ for file in sorted(Path(folder).glob(f"*/{name}.py"))]
    return [importlib.import_module(f"mechscope.{file.parent.name}.{name}") for file in files]


def _add(collected: dict[str, Any], new: Mapping[str, Any], what: str) -> None:
    # Two rooms may list the same file, but not two files under one name.
    same = {name for name, value in new.items() if isinstance(value, Path) and collected.get(name) == value}
    if both := sorted(collected.keys() & new.keys() - same):
        raise ValueError(f"two rooms contribute the {what} {both[0]!r} to the site.")
    collected.update(new)
