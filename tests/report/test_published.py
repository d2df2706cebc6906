"""Published designs: what the file says is what is read, and every way in which it can be wrong."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitgen.errors import VitgenError
from vitgen.report.published import NUMBERS, RANK, least, published, read
from vitgen.resources import published_file

TEXT = published_file().read_text(encoding="utf-8")
RECORD = tomllib.loads(TEXT)

SMALL = """
[sources]
paper = "A paper, abstract"
[models.Net]
vitgen = "deit_t"
gmac = { value = 1.5, trust = "stated", source = "paper" }
[[designs]]
key = "one"
name = "One"
model = { value = "Net", trust = "stated", source = "paper" }
device = { value = "ZCU102", trust = "stated", source = "paper" }
fps = { value = 10, trust = "derived", source = "paper", note = "of 100 ms" }
"""


@pytest.fixture
def file(tmp_path):
    """Writes a file of designs and returns its path."""

    def write(text):
        path = tmp_path / "published.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_every_figure_of_the_file_is_read_with_its_source():
    designs = {design.key: design for design in published()}
    assert list(designs) == [record["key"] for record in RECORD["designs"]]
    for record in RECORD["designs"]:
        design = designs[record["key"]]
        own = {name: record[name] for name in NUMBERS if name in record}
        assert set(design.figures) - {"gmac"} == set(own) - {"gmac"}
        for name, entry in own.items():
            found = design.figures[name]
            assert (found.value, found.trust) == (entry["value"], entry["trust"])
            assert found.source == RECORD["sources"][entry["source"]]
            assert found.note == entry.get("note", "")
        assert design.bits == record.get("bits", {"value": ""})["value"]
        assert design.trust["model"] == record["model"]["trust"]


def test_all_sources_are_used_and_what_is_remembered_is_never_stated():
    entries = [
        entry
        for record in [*RECORD["designs"], *RECORD["models"].values()]
        for entry in record.values()
        if isinstance(entry, dict)
    ]
    assert {entry["source"] for entry in entries} == set(RECORD["sources"])
    assert {e["trust"] for e in entries if e["source"] == "memory"} == {"unverified"}


def test_products_of_the_models_are_those_of_their_shapes():
    """Patches, per block four projections and an MLP of four times the width, attention, classifier."""
    for name, width in (("T", 192), ("S", 384), ("B", 768)):
        block = 197 * 12 * width**2 + 2 * 197**2 * width
        products = 196 * 768 * width + 12 * block + 1000 * width
        for family in ("DeiT", "ViT"):
            model = RECORD["models"][f"{family}-{name}"]
            assert model["gmac"]["value"] == round(products / 1e9, 3)
            assert model["vitgen"] == f"deit_{name.lower()}"


def test_derived_figures_agree_with_what_they_are_derived_from():
    by_key = {record["key"]: record for record in RECORD["designs"]}
    for key, milliseconds in {
        "heatvit_s": 9.15, "tcas_s": 11.15, "tcas_t": 4.077, "ubimoe_vit_t": 8.20,
        "ubimoe_vit_s": 11.66, "coqmoe_zcu102": 6.47, "coqmoe_u280": 9.16, "ubimoe_m3vit": 25.76,
        "ubimoe_u280": 10.33, "edgemoe": 34.64,
    }.items():  # fmt: skip
        fps = by_key[key]["fps"]
        assert fps["note"] == f"latency of {milliseconds:.2f} ms".replace("4.08", "4.077")
        assert fps["value"] == pytest.approx(1000 / milliseconds, rel=2e-3)


def test_a_model_lends_its_products_and_its_doubt(file):
    (one,) = read(file(SMALL))
    assert (one.figures["gmac"].value, one.figures["gmac"].trust) == (1.5, "stated")
    assert (one.vitgen, one.board, one.bits, one.lut_lanes) == ("deit_t", "", "", False)
    doubtful = SMALL.replace('"Net", trust = "stated"', '"Net", trust = "unverified"')
    (one,) = read(file(doubtful))
    assert one.figures["gmac"].trust == "unverified"
    own = SMALL + 'gmac = { value = 0.7, trust = "stated", source = "paper" }\n'
    (one,) = read(file(own))
    assert one.figures["gmac"].value == 0.7


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('key = "one"\n', "", "design 1.key is missing"),
        ('name = "One"\n', "", "design one.name is missing"),
        ("fps = {", "frames = {", "design one.frames is unknown"),
        ("value = 10", "value = 0", "design one.fps.value is 0: input should be greater than 0"),
        ("value = 10", 'value = "10"', "design one.fps.value is '10': input should be a valid"),
        ("value = 10", "value = nan", "design one.fps.value is nan"),
        ('"derived"', '"certain"', "design one.fps.trust is 'certain'"),
        (', note = "of 100 ms"', "", "design one.fps is derived and does not say how"),
        (', source = "paper", note', ', source = "book", note', "design one.fps.source is 'book'"),
        ('value = "Net"', 'value = "Other"', "design one runs 'Other', no key of [models]"),
        ('A paper, abstract"', '\\n"', "sources.paper is '\\n'"),
        ('fps = {', 'bits = { value = "8", trust = "stated", source = "paper" }\nfps = {',
         "design one.bits.value is '8'"),
        ("[models.Net]", "[models.Net", "is not TOML"),
        ("[[designs]]", "[designs]", "designs is"),
    ],
)  # fmt: skip
def test_refusals_name_the_key(file, old, new, words):
    assert old in SMALL
    with pytest.raises(VitgenError) as caught:
        read(file(SMALL.replace(old, new)))
    assert words in str(caught.value) and "published.toml" in str(caught.value)


def test_two_designs_of_one_key(file):
    design = SMALL[SMALL.index("[[designs]]") :]
    with pytest.raises(VitgenError, match="two designs have the key one"):
        read(file(SMALL + design))


def test_no_file_and_no_text(tmp_path, file):
    with pytest.raises(VitgenError, match="cannot be read"):
        read(tmp_path / "none.toml")
    with pytest.raises(VitgenError, match="is not TOML"):
        read(file(b"\xff\xfe"))


@given(st.integers(0, len(TEXT) - 1), st.sampled_from('{}[]"=,\n x0'))
def test_a_damaged_file_is_refused_or_read(tmp_path_factory, place, character):
    path = tmp_path_factory.mktemp("damaged") / "published.toml"
    path.write_text(TEXT[:place] + character + TEXT[place + 1 :])
    try:
        read(path)
    except VitgenError:
        pass


def test_the_least_trust():
    for first in RANK:
        for second in RANK:
            worst = first if RANK.index(first) >= RANK.index(second) else second
            assert least(first, second) == worst
    assert RANK[-1] == "unverified"
