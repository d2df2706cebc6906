"""Boards: the figures of the ZCU102, and every way in which a board file can be wrong."""

import dataclasses
import re
import tomllib
from importlib.metadata import EntryPoint

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitgen import boards
from vitgen.boards import registry
from vitgen.errors import VitgenError
from vitgen.resources import boards_dir

ZCU102 = (boards_dir() / "zcu102" / "board.toml").read_text(encoding="utf-8")


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A directory of boards in place of vitgen's own; returns a function that adds one."""
    home = tmp_path / "boards"
    home.mkdir()
    monkeypatch.setattr(registry, "boards_dir", lambda: home)
    monkeypatch.setattr(registry, "_entry_points", list)

    def add(name: str, text: str | bytes, where=home):
        folder = where / name
        folder.mkdir(parents=True)
        path = folder / "board.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return add


@pytest.mark.parametrize("name", boards.names())
def test_every_board_of_ours_loads_and_says_where_each_figure_comes_from(name):
    board = boards.load(name)
    assert board.name == name
    file = tomllib.loads((boards_dir() / name / "board.toml").read_text(encoding="utf-8"))
    tables = set()
    for key, value in file.items():
        if key != "title":
            tables |= {key} if "value" in value else {f"{key}.{part}" for part in value}
    assert set(board.provenance) == tables
    assert all(p.trust in boards.TRUST_LEVELS and p.source for p in board.provenance.values())
    stated = [p.source for p in board.provenance.values() if p.trust == "stated"]
    assert not any("as remembered" in source for source in stated)


def test_the_zcu102():
    board = boards.load("zcu102")
    assert board.resources.to_dict() == {
        "dsp": 2520,
        "lut": 274_080,
        "ff": 548_160,
        "bram36": 912,
        "uram": 0,
    }
    assert board.part == "xczu9eg-ffvb1156-2-e"
    assert board.clock_mhz == 150
    assert (board.dram.ports, board.dram.port_bits, board.dram.port_mb_per_s) == (4, 128, 2400)
    assert (board.dram.peak_mb_per_s, board.dram.usable_mb_per_s) == (17_067, 11_900)


def test_a_board_cannot_be_changed():
    board = boards.load("zcu102")
    with pytest.raises(dataclasses.FrozenInstanceError):
        board.clock_mhz = 300
    with pytest.raises(TypeError):
        board.provenance["part"] = boards.Provenance("stated", "us")
    assert hash(board) == hash(boards.load("zcu102"))
    assert board == boards.load("zcu102")


def test_ports_scale_with_the_clock_until_the_dram_is_the_limit():
    board = boards.load("zcu102")
    assert board.bytes_per_cycle() == 16
    assert board.bytes_per_cycle(4) == 64
    assert board.bytes_per_cycle(1, clock_mhz=300) == 16
    assert board.bytes_per_cycle(4, clock_mhz=300) == pytest.approx(11_900 / 300)
    for ports, clock in ((0, None), (5, None), (1, 0.0), (1, float("nan"))):
        with pytest.raises(ValueError):
            board.bytes_per_cycle(ports, clock)


def test_an_unknown_board_is_refused_with_the_nearest_name():
    with pytest.raises(VitgenError, match=r"Unknown board 'zcu012'.*'zcu102'\?.*Known: .*zcu102"):
        boards.load("zcu012")
    with pytest.raises(VitgenError, match="Unknown board 'qqq'. Known: .*zcu102"):
        boards.load("qqq")


@pytest.mark.parametrize(
    "name", ["", "../zcu102", "zcu102/", "zcu102\n", "/etc", "a" * 65, "ZCU102", ".", "é", None, 3]
)
def test_a_name_is_checked_before_it_reaches_a_path(name):
    with pytest.raises(VitgenError, match="is not the name of a board"):
        boards.load(name)


@given(st.text())
def test_any_text_is_a_board_or_a_clear_refusal(name):
    if name not in boards.names():
        with pytest.raises(VitgenError):
            boards.load(name)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[resources.dsp]", "[resources.dps]", "key resources.dsp is missing"),
        ("title =", "titel =", "key title is missing"),
        ("[resources.uram]", "[resources.uram]\nunit = 1", "key resources.uram.unit is unknown"),
        ("value = 2520", 'value = "2520"', "resources.dsp.value is '2520'"),
        ("value = 2520", "value = 2520.0", "resources.dsp.value is 2520.0"),
        ("value = 2520", "value = true", "resources.dsp.value is True"),
        ("value = 2520", "value = -1", "resources.dsp.value is -1"),
        ("value = 274080", "value = 0", "resources.lut.value is 0"),
        ("value = 150", "value = 0", "clock_mhz.value is 0"),
        ('trust = "chosen"', 'trust = "sure"', "clock_mhz.trust is 'sure'"),
        ("value = 912\ntrust", "value = 912\nsource = ' '\ntrust", "line|overwrite"),
        ('"xczu9eg-ffvb1156-2-e"', '"x; exec rm"', "part.value is 'x; exec rm'"),
        ('"xczu9eg-ffvb1156-2-e"', '"x\\n"', r"part.value is 'x\\n'"),
        ("value = 128", "value = 129", "dram.port_bits.value is 129. Give a multiple of 8"),
        ("value = 2400", "value = 2401", "dram.port_mb_per_s.value is 2401. .*at most 2400 MB/s"),
        ("[part]", "[part", "is not TOML: .*line"),
        ("value = 775", "value = 149", "clock_mhz.value is 150. No design exceeds 149 MHz"),
        ("value = 17067", "value = 11899", "dram.usable_mb_per_s.value is 11900. .*11899 MB/s"),
        ('"zynqmp"', '"versal"', "ps.family.value is 'versal'"),
        ('"S_AXI_HP3_FPD"]', '"S_AXI_HP2_FPD"]', "ps.hp_ports.value is .*each of the 4 ports"),
        (', "S_AXI_HP3_FPD"]', "]", "ps.hp_ports.value is .*each of the 4 ports"),
        ('"S_AXI_HP3_FPD"]', '"S_AXI_HPC0_FPD"]', r"ps.hp_ports.value.3 is 'S_AXI_HPC0_FPD'"),
        ("[ps.hp_ports]", "[ps.ports]", "key ps.hp_ports is missing"),
        ('"pl_clk0"', '"pl_clk0]; exec rm"', r"ps.clock.value is 'pl_clk0\]; exec rm'"),
        ('"pl_ps_irq0"', '""', "ps.interrupt.value is ''"),
        ('"none"', '"some"', "pynq.image.value is 'some'"),
        ('"none"', '"official"', "pynq.image.value is 'official'. Give pynq.version"),
        ("[pynq.road]", "[pynq.way]", "key pynq.road is missing"),
        ("value = []", "value = [12]", "power.rails.value.0 is 12"),
        ("value = []", 'value = ["a\\n"]', "power.rails.value.0 is"),
        ("[power.rails]", "[power.rail]", "key power.rails is missing"),
    ],
)
def test_a_malformed_file_is_refused_by_file_and_key(directory, old, new, says):
    assert old in ZCU102
    path = directory("mine", ZCU102.replace(old, new, 1))
    with pytest.raises(VitgenError, match=re.escape(str(path)) + ".*" + f"({says})"):
        boards.load("mine")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("[pynq.version]\nvalue = '1'", "pynq.image.value is 'none'. .*only there"),
        ("[power.logic]\nvalue = 'INT'", "power.logic.value is 'INT'. .*there are none"),
        ("[power.total]\nvalue = '12V'", "power.total.value is '12V'. .*there are none"),
        ("[ps.connections]\nvalue = ['a b;c']", "ps.connections.value.0 is 'a b;c'"),
        ("[ps.connections]\nvalue = ['a']", "ps.connections.value.0 is 'a'"),
        ("[ps.tcl]\nvalue = 'x'", "key ps.tcl is unknown"),
    ],
)
def test_an_entry_that_contradicts_the_others_is_refused(directory, more, says):
    directory("mine", f"{ZCU102}\n{more}\ntrust = 'stated'\nsource = 'test'\n")
    with pytest.raises(VitgenError, match=says):
        boards.load("mine")


def test_the_kria_is_a_module_on_a_carrier():
    board = boards.load("kv260")
    assert board.ps.connections == (
        "som240_1_connector xilinx.com:kv260_carrier:som240_1_connector:1.3",
    )
    assert boards.load("zcu104").ps.connections == ()
    assert board.to_dict()["ps"]["hp_ports"] == board.ps.hp_ports


@pytest.mark.parametrize("name", boards.names())
def test_what_block_design_and_driver_need_is_there(name):
    board = boards.load(name)
    assert board.board_part.endswith(":part0:" + board.board_part.rpartition(":")[2])
    assert board.ps.hp_ports == tuple(f"S_AXI_HP{port}_FPD" for port in range(board.dram.ports))
    assert board.pynq.board and board.pynq.road.endswith(".")
    assert (board.pynq.image == "none") == (board.pynq.version == "")
    assert board.power.logic == "" or board.power.logic in board.power.rails


def test_a_file_that_is_no_text_is_refused(directory):
    path = directory("mine", b"\xff\xfe\x00")
    with pytest.raises(VitgenError, match=re.escape(f"{path} is not TOML")):
        boards.load("mine")


def test_a_board_without_a_vivado_board_file(directory):
    lines = ZCU102.split("[board_part]")
    directory("mine", lines[0] + "[clock_mhz]" + lines[1].split("[clock_mhz]")[1])
    assert boards.load("mine").board_part == ""


def test_folders_that_are_no_boards_are_passed_over(directory, tmp_path):
    directory("mine", ZCU102)
    directory("Not A Board", ZCU102)
    (tmp_path / "boards" / "empty").mkdir()
    (tmp_path / "boards" / "README").write_text("no folder")
    assert boards.names() == ["mine"]


PLUGIN_DIR = None
TOO_LONG = "x" * 5000


def plugin_dir():
    return PLUGIN_DIR


def failing_plugin():
    raise RuntimeError("disk on fire")


def plug_in(monkeypatch, attribute: str) -> None:
    """Pretend that an installed package declares this module's ``attribute``."""
    point = EntryPoint("other", f"{__name__}:{attribute}", boards.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "_entry_points", lambda: [point])


@pytest.mark.parametrize("attribute", ["plugin_dir", "PLUGIN_DIR"])
@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_another_package_adds_boards(directory, tmp_path, monkeypatch, attribute, kind):
    directory("ours", ZCU102)
    directory("theirs", ZCU102, where=tmp_path / "plugin")
    monkeypatch.setitem(globals(), "PLUGIN_DIR", kind(tmp_path / "plugin"))
    plug_in(monkeypatch, attribute)
    assert boards.names() == ["ours", "theirs"]
    assert boards.load("theirs").name == "theirs"


def test_two_boards_of_one_name_are_refused(directory, tmp_path, monkeypatch):
    directory("ours", ZCU102)
    directory("ours", ZCU102, where=tmp_path / "plugin")
    monkeypatch.setitem(globals(), "PLUGIN_DIR", tmp_path / "plugin")
    plug_in(monkeypatch, "PLUGIN_DIR")
    with pytest.raises(VitgenError, match="'ours' is defined in .* and in .*plugin"):
        boards.load("ours")


@pytest.mark.parametrize(
    ("attribute", "says"),
    [
        ("failing_plugin", "fails: RuntimeError.'disk on fire'.\\."),
        ("no_such_name", "fails: AttributeError"),
        ("plugin_dir", "gives None, not a path"),
        ("TOO_LONG", "gives 'xxx.*x', which is not a directory"),
    ],
)
def test_a_broken_plugin_is_named(directory, monkeypatch, attribute, says):
    plug_in(monkeypatch, attribute)
    with pytest.raises(
        VitgenError, match=f"entry point other = .*:{attribute} of the group vitgen.boards {says}"
    ):
        boards.names()


def test_entry_points_are_those_of_the_group():
    assert all(point.group == "vitgen.boards" for point in registry._entry_points())
