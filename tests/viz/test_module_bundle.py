"""Modules in one script: imports, exports, and what is refused."""

from __future__ import annotations

import re

import pytest

from mechscope.viz.module_bundle import COMPONENTS, bundle_modules, imported_names, with_imports


def test_imports_become_calls() -> None:
    source = 'import { a, b as c } from "./x.js";\nimport * as y from "./y.js";\nimport "./z.js";\n'
    script = bundle_modules({"m.js": source, "x.js": "", "y.js": "", "z.js": ""})
    assert 'const { a, b: c } = await mechscopeUse("x.js");' in script
    assert 'const y = await mechscopeUse("y.js");' in script
    assert '\nawait mechscopeUse("z.js");' in script


def test_exports_are_returned() -> None:
    source = "export const a = 1;\nexport async function b() {}\nclass C {}\nfunction d() {}\nexport { C, d as e };\n"
    script = bundle_modules({"m.js": source})
    assert "return { a, b, C, e: d };" in script
    assert not re.search(r"^export", script, re.MULTILINE)


@pytest.mark.parametrize(
    "source",
    [
        "export default 1;",
        "export let a = 1;",
        'import a from "./a.js";',
        'import { a } from "https://elsewhere.example/a.js";',
        'const a = await import("./a.js");',
        "const here = import.meta.resolve;",
        'export { a } from "./a.js";',
    ],
)
def test_other_forms_are_refused(source: str) -> None:
    with pytest.raises(ValueError, match=r"m\.js has .*modules of the web lab use"):
        bundle_modules({"m.js": source, "a.js": ""})


def test_imports_in_a_circle_are_refused() -> None:
    circle = {"a.js": 'import "./b.js";', "b.js": 'import "./c.js";', "c.js": 'import "./b.js";'}
    with pytest.raises(ValueError, match=r"in a circle: b\.js → c\.js → b\.js"):
        bundle_modules(circle)


def test_a_component_comes_with_what_it_imports() -> None:
    found = with_imports(["tokens.js"])
    assert set(found) == {"tokens.js", "colours.js", "roving.js"}
    assert imported_names(found["tokens.js"]) == ["colours.js", "roving.js"]


def test_the_address_of_a_module_is_beside_the_script() -> None:
    script = bundle_modules({"m.js": "export const here = import.meta.url;"})
    assert 'const here = new URL("m.js", mechscopeBase).href;' in script


def test_comments_on_lines_of_their_own_are_left_out() -> None:
    source = '// one\n/** two\n * three */\nexport const a = "/** kept */"; // kept too\n  // four\n'
    script = bundle_modules({"m.js": source})
    assert 'const a = "/** kept */"; // kept too' in script
    assert not any(word in script for word in ("one", "two", "three", "four"))


def test_every_component_can_be_bundled_and_is_small() -> None:
    names = sorted(path.name for path in COMPONENTS.glob("*.js"))
    assert set(with_imports(names)) == set(names)
    script = bundle_modules(with_imports(names))
    assert "</script" not in script.lower()
    assert all((COMPONENTS / name).stat().st_size <= 25_000 for name in names)
