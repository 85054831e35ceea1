"""The panel that runs an experiment, in a real browser, on small pages and with experiments that the tests control."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser import WatchedPage, served_site
from tests.web.jobs.fake_experiment import fake_command
from tests.web.pages import site_of_panels

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def address(runs: Path) -> Iterator[str]:
    """The web lab, whose experiments are fake ones."""
    with served_site(site=site_of_panels(), runs=runs, command=fake_command) as found:
        yield found


class Panel:
    """The panel of a page."""

    def __init__(self, browser: Any, address: str, step: str = "induction", **options: Any) -> None:
        self.watched = WatchedPage(browser, **options)
        self.page = self.watched.page
        self.page.goto(f"{address}{step}/")
        self.page.wait_for_selector(".job-start")

    def run(self, seed: int) -> None:
        """Press the button, with a seed that decides what the fake experiment does."""
        self.page.fill(".job-seed input", str(seed))
        self.page.click(".job-start")

    def press(self, name: str) -> None:
        """Press a button."""
        self.page.get_by_role("button", name=name).click()

    def wait(self, state: str) -> str:
        """Wait for a state, and read what the panel says about it."""
        self.page.wait_for_selector(f"[data-job][data-state='{state}']")
        return self.page.inner_text(".job-status")


def test_a_job_is_started_cancelled_resumed_and_seen_by_two_browsers(
    browser: Any, address: str, runs: Path
) -> None:
    first = Panel(browser, address)
    assert first.page.inner_text(".job-same") == "The same in a terminal: mechscope run induction"
    first.page.check("input[value='full']")
    first.run(1)
    assert first.page.inner_text(".job-same code") == "mechscope run induction --budget full --seed 1"
    assert "You can close this page" in first.wait("running")
    first.page.wait_for_selector(".job-activity:has-text('counting: ')")
    assert 0 < first.page.evaluate("document.querySelector('.job-view progress').value") < 1
    assert "1 finished part" in first.page.inner_text(".job-activity")
    first.page.click(".job-view summary")
    assert first.page.inner_text(".job-output") == "fake experiment with seed 1"

    second = Panel(browser.new_context(), address)
    assert "full budget, seed 1" in second.wait("running")
    second.press("Cancel")
    assert "Its finished parts are kept" in second.wait("cancelled")
    first.wait("cancelled")  # told by the stream
    assert second.page.evaluate("document.activeElement.textContent") == "Resume"

    first.page.close()  # a job needs no page
    second.press("Resume")
    second.wait("running")
    third = Panel(browser, address)
    third.wait("running")
    (runs / "go").touch()
    assert third.wait("finished").startswith("Finished (full budget, seed 1). It took")
    second.wait("finished")
    assert third.page.is_visible("text=Show its figures and claims")
    assert third.page.get_by_role("button", name="Run it again").is_visible()
    for panel in (second, third):
        assert panel.watched.problems == []
        panel.page.close()


def test_a_problem_is_shown_as_text_and_with_the_keyboard(browser: Any, address: str) -> None:
    panel = Panel(browser, address, viewport={"width": 360, "height": 700}, color_scheme="dark")
    panel.page.focus("input[value='quick']")
    panel.page.keyboard.press("Tab")
    panel.page.keyboard.type("2")  # the seed
    panel.page.keyboard.press("Tab")
    panel.page.keyboard.press("Enter")
    assert panel.wait("failed").endswith("The <b>moon</b> is full. Wait until it is not.")
    assert panel.page.query_selector(".job-status b") is None
    assert panel.page.get_by_role("button", name="Try again").is_visible()
    assert panel.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    panel.page.fill(".job-seed input", "-1")
    panel.page.click(".job-start")  # refused by the browser
    assert panel.page.evaluate("document.querySelector('[data-job]').jobPanel.job.experiment.seed") == 2
    assert panel.watched.problems == []
    panel.page.close()


def test_a_refusal_is_a_sentence(browser: Any, address: str) -> None:
    panel = Panel(browser, address)
    panel.page.evaluate(
        "document.querySelector('[data-job]').jobPanel.submit({step: 'inductoin', budget: 'quick', seed: 0})"
    )
    panel.page.wait_for_selector(".problem:not([hidden])")
    assert "there is no step 'inductoin'" in panel.page.inner_text(".problem:not([hidden])")
    panel.page.close()


def test_a_slow_job_blocks_no_page(browser: Any, address: str, runs: Path) -> None:
    (runs / "go").unlink(missing_ok=True)
    # The checker of barriers is injected into the page, which the page's own policy forbids.
    panel = Panel(browser.new_context(bypass_csp=True), address)
    panel.run(1)
    panel.wait("running")
    found = axe.Axe().run(panel.page).response["violations"]
    assert [rule["id"] for rule in found if rule["impact"] in ("serious", "critical")] == []
    other = Panel(browser, address, "sae")
    other.run(0)
    assert other.wait("queued") == "Waiting (quick budget, seed 0). It begins after another run."
    assert other.watched.problems == []
    other.press("Cancel")
    other.wait("cancelled")
    other.page.close()
    panel.press("Cancel")
    panel.wait("cancelled")
    panel.page.close()


SERVER = """
import socket, sys
from pathlib import Path
from mechscope.web.server import make_app, make_server
from tests.web.jobs.fake_experiment import fake_command
from tests.web.pages import site_of_panels
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
make_server(make_app(site_of_panels(), runs=Path(sys.argv[1]), command=fake_command)).run(sockets=[listening])
"""


@contextmanager
def killed_server(runs: Path) -> Iterator[str]:
    """The address of a server in a process of its own, which is killed in the end."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", SERVER, str(runs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/"
        finally:
            server.kill()


@pytest.mark.slow
def test_a_page_and_its_job_outlive_a_killed_server(browser: Any, tmp_path: Path) -> None:
    with killed_server(tmp_path) as address:
        panel = Panel(browser, address)
        panel.run(1)
        panel.wait("running")
    panel.page.wait_for_selector("text=The server does not answer")
    options: dict[str, Any] = {
        "site": site_of_panels(),
        "port": int(address.rstrip("/").rpartition(":")[2]),
        "runs": tmp_path,
        "command": fake_command,
    }
    with served_site(**options):
        panel.page.wait_for_selector("text=The server does not answer", state="hidden")
        panel.wait("running")
        (tmp_path / "go").touch()
        panel.wait("finished")
        (tmp_path / "go").unlink()
        panel.press("Run it again")
        panel.wait("running")
    # That server was asked to stop, and stopped its job.
    with served_site(**options):
        assert "The server was stopped. Its finished parts are kept" in panel.wait("interrupted")
        panel.press("Resume")
        panel.wait("running")
        panel.press("Cancel")
        panel.wait("cancelled")
    panel.page.close()
