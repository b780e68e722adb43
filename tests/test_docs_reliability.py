"""docs/reliability.md names the test behind each promise: those tests are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_test_that_the_page_names_is_there():
    text = (ROOT / "docs" / "reliability.md").read_text()
    file, named = "", []
    for match in re.finditer(r"`(test_\w+\.py)?(?:::(test_\w+))?`", text):
        file = match[1] or file
        assert (ROOT / "tests" / file).is_file(), file
        if match[2]:
            named.append(match[2])
            assert f"def {match[2]}(" in (ROOT / "tests" / file).read_text(), match[0]
    assert len(named) > 30
