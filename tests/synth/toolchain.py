"""Small programs in the place of vitis_hls, v++, vitis-run and vivado."""

from pathlib import Path

from tests.synth import reports

_HEAD = """#!/bin/sh
name={name}
case " $* " in *" -version "*|*" --version "*)
  echo "****** {name} v{version} (64-bit)"
  exit 0;;
esac
echo "$name $*" >>"{log}"
[ -e "{place}/fail" ] && {{ echo "Phase 1 Build"; echo "ERROR: [$name 1-2] no licence"; echo "ERROR: [$name 1-3] so there"; exit 1; }}
[ -e "{place}/hang" ] && {{ echo $$ >"{place}/hanging"; sleep 600; }}
[ -e "{place}/kill" ] && kill -9 $$
write() {{ mkdir -p "$(dirname "$1")"; cat >"$1"; }}
"""

_HLS = """
echo "INFO: [HLS 200-42] -- Implementing module 'gelu'"
report={solution}/syn/report
write $report/csynth.xml <<'EOF'
{xml}EOF
write $report/gelu_csynth.rpt <<'EOF'
{gelu}EOF
write $report/feed_csynth.rpt <<'EOF'
{feed}EOF
"""

_IP = """
echo "<component/>" | write {solution}/impl/ip/component.xml
echo "module vit_top; endmodule" | write {solution}/impl/ip/hdl/verilog/vit_top.v
"""

_VIVADO = """
echo "Starting synth_design"
echo "Starting Placer Task"
echo "Phase 1 Placer Initialization | Checksum: 1"
while [ "$1" != "-tclargs" ]; do shift; done
[ "$2" = vitis ] && {{ [ -e "$3/component.xml" ] || exit 7; }}
write reports/utilization.rpt <<'EOF'
{utilization}EOF
write reports/hierarchy.rpt <<'EOF'
{hierarchy}EOF
write reports/timing.rpt <<EOF
{timing}EOF
echo "bits of $2" | write $4/vit_top.bit
echo "description" | write $4/vit_top.hwh
"""


class Toolchain:
    """A directory of such programs.

    Parameters
    ----------
    place : the directory; a file ``fail``, ``hang`` or ``kill`` in it makes every program do so.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir(parents=True, exist_ok=True)
        self.log = place / "log"

    def add(self, name: str, version: str, body: str = "") -> None:
        """A program with a version."""
        head = _HEAD.format(name=name, version=version, log=self.log, place=self.place)
        (self.place / name).write_text(head + body)
        (self.place / name).chmod(0o755)

    def add_vitis_hls(self, version: str = "2023.1", ip: bool = True) -> None:
        solution = "vit_top/solution"
        body = _HLS.format(
            solution=solution, xml=reports.CSYNTH_XML, gelu=reports.GELU_RPT, feed=reports.FEED_RPT
        )
        self.add("vitis_hls", version, body + (_IP.format(solution=solution) if ip else ""))

    def add_unified(self, version: str = "2025.2") -> None:
        solution = "vit_top/hls/hls"
        body = _HLS.format(
            solution=solution, xml=reports.CSYNTH_XML, gelu=reports.GELU_RPT, feed=reports.FEED_RPT
        )
        self.add("v++", version, body)
        self.add("vitis-run", version, _IP.format(solution=solution))

    def add_vivado(self, version: str = "2024.1", wns: str = "0.214", failing: int = 0) -> None:
        body = _VIVADO.format(
            utilization=reports.UTILIZATION_RPT, hierarchy=reports.HIERARCHY_RPT,
            timing=reports.timing_rpt(wns, failing),
        )  # fmt: skip
        self.add("vivado", version, body)

    def calls(self) -> list[str]:
        """What was run, versions aside."""
        return self.log.read_text().splitlines() if self.log.exists() else []
