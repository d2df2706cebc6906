"""The command line: what it says of itself, and of options that are wrong."""

import json
import subprocess
import sys

import pytest

from tests.flow.conftest import tiny, vitgen

__all__ = ["tiny", "vitgen"]

COMMANDS = ("build", "verify", "eval", "estimate", "report", "export", "train", "models", "boards")
BUILD = ("build", "--model", "vit_digits", "--bits", "4/8")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.iterdir())  # nothing here is to write anything


def test_help_names_every_command_in_a_whole_sentence(vitgen):
    said = vitgen("--help")
    assert said.status == 0
    lines = {line.split()[0]: line.strip() for line in said.out.splitlines() if line.strip()}
    for command in COMMANDS:
        assert lines[command].endswith(".") and "..." not in lines[command]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_speaks_json(vitgen, command):
    said = vitgen(command, "--help")
    assert said.status == 0 and "--json" in said.out


def test_version(vitgen):
    assert vitgen("--version").out.startswith("vitgen 0.")


def test_help_and_import_load_nothing_heavy():
    script = (
        "import sys; sys.argv = ['vitgen', '--help']\n"
        "import vitgen; assert not {'numpy', 'torch'} & set(sys.modules)\n"
        "from vitgen.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'torch', 'brevitas', 'sklearn', 'pynq'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize("command", ["models", "boards"])
def test_lists(vitgen, command):
    rows = json.loads(vitgen(command, "--json").out)
    text = vitgen(command).out
    assert rows and all(row["name"] in text for row in rows)


def test_boards_help_to_choose(vitgen, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    text = vitgen("boards").out
    lines = {line.split()[1]: line for line in text.splitlines() if line.startswith("│")}
    assert "96" in lines["zcu104"] and "official 3.1.0" in lines["zcu104"]
    assert "no image" in lines["zcu102"]


def test_one_board_shows_where_its_figures_come_from(vitgen, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    text = vitgen("boards", "kv260").out
    (line,) = [line for line in text.splitlines() if " resources.bram36 " in line]
    assert "144" in line and "stated" in line and "pccx" in line
    record = json.loads(vitgen("boards", "kv260", "--json").out)
    assert record["resources"]["uram"] == 64
    assert record["ps"]["hp_ports"][0] == "S_AXI_HP0_FPD"
    wrong = vitgen("boards", "kv26")
    assert wrong.status == 2 and "Did you mean 'kv260'" in wrong.err


@pytest.mark.parametrize("command", ["build", "estimate"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model", "deit", "--bits", "4/8"), "Unknown model 'deit'"),
        (("--model", "absent.toml", "--bits", "4/8"), "absent.toml"),
        (("--model", "vit_digits", "--bits", "5/8"), "Unknown bits '5/8'"),
        (("--model", "vit_digits", "--bits", "4/9"), "Unknown bits '4/9'"),
        (("--model", "vit_digits", "--bits", "4"), "Unknown bits '4'"),
        (("--model", "vit_digits", "--bits", "4/8", "--scheme", "fixd"), "Did you mean fixed"),
        (("--model", "vit_digits", "--bits", "8/8", "--scheme", "pot"), "pot with 8-bit"),
        (("--model", "vit_digits", "--bits", "4/8", "--array", "dsp"), "Unknown array 'dsp'"),
        (("--model", "vit_digits", "--bits", "4/8", "--board", "zcu"), "Unknown board 'zcu'"),
        (("--model", "vit_digits", "--bits", "4/8", "--board", "../x"), "../x"),
        (
            ("--model", "vit_digits", "--bits", "4/8", "--board", "kv260", "--clock-mhz", "700"),
            "--clock-mhz is 700, which no design on kv260 can reach.",
        ),
        (("--model", "vit_digits", "--bits", "4/8", "--pot-ratio", "half"), "--pot-ratio is 'half'"),
        (("--model", "vit_digits", "--bits", "4/8", "--pot-ratio", "nan"), "--pot-ratio is nan"),
        (("--model", "vit_digits", "--bits", "4/8", "--pot-ratio", "1.5"), "--pot-ratio is 1.5"),
        (("--model", "vit_digits", "--bits", "4/8", "--clock-mhz", "0"), "--clock-mhz is 0"),
        (("--model", "vit_digits", "--bits", "4/8", "--clock-mhz", "inf"), "--clock-mhz is inf"),
        (("--model", "vit_digits", "--bits", "4/8", "--config", "absent.toml"), "absent.toml"),
        (("--model", "vit_digits"), "Neither --bits nor --target-fps"),
        (("--model", "vit_digits", "--target-fps", "0"), "--target-fps is 0"),
        (("--model", "vit_digits", "--target-fps", "-5"), "--target-fps is -5"),
        (("--model", "vit_digits", "--target-fps", "nan"), "--target-fps is nan"),
        (("--model", "vit_digits", "--target-fps", "fast"), "--target-fps"),
        (("--model", "vit_digits", "--bits", "4/8", "--bord", "zcu102"), "No such option: --bord"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_done(vitgen, command, options, said):
    found = vitgen(command, *options)
    assert found.status == 2 and said in found.err and not found.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("estimate", *BUILD[1:], "--pareto", "plot.png"), "ends in .svg"),
        (("train", "--model", "vit_digits"), "Missing option '--bits'"),
        ((*BUILD, "--verify", "cism"), "Unknown verification 'cism'"),
        ((*BUILD, "--verify", "csim", "--images", "0"), "--images is 0"),
        ((*BUILD, "--verify", "csim", "--images", "-3"), "--images is -3"),
        ((*BUILD, "--images", "3"), "Add --verify csim"),
        ((*BUILD, "--images", "many"), "--images"),
        ((*BUILD, "--seed", "-1"), "--seed is -1"),
        ((*BUILD, "--seed", str(2**32)), "--seed is 4294967296"),
        (("verify", "absent", "--level", "rlt"), "Unknown level 'rlt'"),
        (("verify", "absent", "--images", "0"), "--images is 0"),
        (("verify", "absent"), "absent holds no build"),
        (("eval", "absent"), "absent holds no build"),
        (("report", "absent"), "absent holds no build"),
        (("train", "--model", "deit_t", "--bits", "4/8"), "no training images for deit_t"),
        (("train", "--model", "vit_digits", "--bits", "4/8", "--epochs", "1"), "--epochs is 1"),
        (("train", "--model", "vit_digits", "--bits", "4/8", "--seed", "-1"), "--seed is -1"),
        (("biuld",), "Did you mean 'build'"),
    ],
)
def test_wrong_values_are_refused_before_anything_is_done(vitgen, arguments, said):
    found = vitgen(*arguments)
    assert found.status == 2 and said in found.err and not found.out


def test_an_error_stays_on_its_line_for_whoever_copies_it(vitgen):
    path = "/".join(["long"] * 40) + ".toml"
    said = vitgen("build", "--model", path, "--bits", "4/8").err.splitlines()
    assert len(said) == 2 and path in said[0]


def test_estimate_writes_nothing_and_verifies_nothing(vitgen, tiny):
    said = vitgen("estimate", "--model", tiny, "--bits", "4/8", "--json")
    report = json.loads(said.out)
    assert said.status == 0 and report["fps"] > 0 and report["weights"] == "synthetic"
    assert report["verification"] == {"csim": None, "rtl": None} and report["fidelity"] is None
    assert "estimated" in vitgen("estimate", "--model", tiny, "--bits", "4/8").out


def test_an_interrupt_says_what_to_do(vitgen, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("vitgen.boards.names", interrupted)
    said = vitgen("boards")
    assert said.status == 130 and "same command" in said.err


@pytest.mark.parametrize("number", [28, 30, 13])
def test_a_full_or_forbidden_place_is_no_bug(vitgen, monkeypatch, number):
    def fail():
        raise OSError(number, "it cannot be", "some/file")

    monkeypatch.setattr("vitgen.boards.names", fail)
    said = vitgen("boards")
    assert said.status == 2 and "some/file: it cannot be." in said.err


def test_bugs_keep_their_traceback(vitgen, monkeypatch):
    def fail():
        raise ZeroDivisionError

    monkeypatch.setattr("vitgen.boards.names", fail)
    with pytest.raises(ZeroDivisionError):
        vitgen("boards")
