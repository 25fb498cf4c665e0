"""Tables of benchmarks at several widths."""

import re

import pytest

from bigearth_pipeline.bench.loader.titles import TITLES
from bigearth_pipeline.cli.bench.rates import RateTable


@pytest.mark.parametrize("width", [80, 100, 160])
def test_words_of_rate_tables_stay_whole(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At 80 columns `resolution` ends in "…", and a remark takes twenty lines of one word."""
    monkeypatch.setenv("COLUMNS", str(width))
    remark = "not measured here: there is no GPU"
    table = RateTable("patches/s", "page cache", "median", "lowest", "highest", "start, s", "GB/s", "")
    titles = list(TITLES.values())
    for title in titles[1:]:
        table.add_row(title.text, title.cache, "123,456", "123,455", "123,457", "0.125", "12.34")
    table.add_row(titles[0].text, titles[0].cache, "", "", "", "", "", remark)
    table.print()
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert "patches/s" in printed
    assert remark in printed
    assert printed.count("123,456") == printed.count("12.34") == len(titles) - 1
    words = set(re.split(r"[\s;,]+", printed))
    assert {word for title in titles for word in re.split(r"[\s,]+", title.text)} <= words
    assert max(map(len, printed.splitlines()[:-2])) <= width
    assert ("left out: lowest; start, s" in printed) == (width == 80)
