"""Reports in the form of Vitis HLS and Vivado, written by hand with figures of our own."""

CSYNTH_XML = """<profile>
<UserAssignments>
  <TargetClockPeriod>6.67</TargetClockPeriod>
  <ClockUncertainty>1.80</ClockUncertainty>
  <TopModelName>vit_top</TopModelName>
</UserAssignments>
<PerformanceEstimates>
  <SummaryOfTimingAnalysis>
    <EstimatedClockPeriod>4.867</EstimatedClockPeriod>
  </SummaryOfTimingAnalysis>
  <SummaryOfOverallLatency>
    <Best-caseLatency>120</Best-caseLatency>
    <Average-caseLatency>undef</Average-caseLatency>
    <Worst-caseLatency>undef</Worst-caseLatency>
  </SummaryOfOverallLatency>
</PerformanceEstimates>
<AreaEstimates>
  <Resources>
    <BRAM_18K>310</BRAM_18K>
    <DSP>41</DSP>
    <FF>8123</FF>
    <LUT>12045</LUT>
    <URAM>0</URAM>
  </Resources>
  <AvailableResources><DSP>2520</DSP></AvailableResources>
</AreaEstimates>
<ModuleInformation>
  <Module>
    <Name>gelu</Name>
    <AreaEstimates><Resources><DSP>10</DSP><LUT>801</LUT><FF>644</FF><BRAM_18K>0</BRAM_18K></Resources></AreaEstimates>
  </Module>
  <Module>
    <Name>feed</Name>
    <AreaEstimates><Resources><LUT>92</LUT><FF>70</FF></Resources></AreaEstimates>
  </Module>
</ModuleInformation>
</profile>
"""

GELU_RPT = """== Performance Estimates
+ Latency:
    + Detail:
        * Instance:
        N/A

        * Loop:
        +--------------------+---------+---------+----------+-----------+-----------+------+----------+
        |                    |  Latency (cycles) | Iteration|  Initiation Interval  | Trip |          |
        |      Loop Name     |   min   |   max   |  Latency |  achieved |   target  | Count| Pipelined|
        +--------------------+---------+---------+----------+-----------+-----------+------+----------+
        |- VITIS_LOOP_20_1   |        ?|        ?|         ?|          -|          -|     ?|        no|
        | + VITIS_LOOP_24_2  |        2|      900|        13|          2|          1|     ?|       yes|
        |  ++ lanes          |        4|        4|         1|          -|          1|     4|        no|
        +--------------------+---------+---------+----------+-----------+-----------+------+----------+

== Utilization Estimates
|Total            |        0|    10|     644|     801|    0|
"""

FEED_RPT = """        * Loop:
        +----------+-----+-----+----------+-----------+-----------+------+----------+
        |          |  Latency  | Iteration|  Initiation Interval  | Trip |          |
        | Loop Name| min | max |  Latency |  achieved |   target  | Count| Pipelined|
        +----------+-----+-----+----------+-----------+-----------+------+----------+
        |- words   |    1|  640|         3|          1|          1| 1~640|    yes   |
        +----------+-----+-----+----------+-----------+-----------+------+----------+
"""

UTILIZATION_RPT = """1. CLB Logic
------------

+----------------------------+-------+-------+------------+-----------+-------+
|          Site Type         |  Used | Fixed | Prohibited | Available | Util% |
+----------------------------+-------+-------+------------+-----------+-------+
| CLB LUTs*                  | 14310 |     0 |          0 |    274080 |  5.22 |
|   LUT as Logic             | 12000 |     0 |          0 |    274080 |  4.38 |
| CLB Registers              | 15021 |     0 |          0 |    548160 |  2.74 |
+----------------------------+-------+-------+------------+-----------+-------+

3. BLOCKRAM
| Block RAM Tile    |  41.5 |     0 |          0 |       912 |  4.55 |
|   RAMB36/FIFO*    |    37 |     0 |          0 |       912 |  4.06 |
4. ARITHMETIC
| DSPs           |   47 |     0 |          0 |      2520 |  1.87 |
"""

HIERARCHY_RPT = """+-----------------+------------------+------------+------------+---------+------+-------+--------+--------+------------+
|     Instance    |      Module      | Total LUTs | Logic LUTs | LUTRAMs | SRLs |  FFs  | RAMB36 | RAMB18 | DSP Blocks |
+-----------------+------------------+------------+------------+---------+------+-------+--------+--------+------------+
| vit_wrapper     |            (top) |      14310 |      12000 |    2000 |  310 | 15021 |     37 |      9 |         47 |
|   vit_i         |              vit |      14310 |      12000 |    2000 |  310 | 15021 |     37 |      9 |         47 |
|     bank_act_0  | vit_bank_act_0_0 |          4 |          4 |       0 |    0 |     0 |      2 |      1 |          0 |
|     bank_key_0  | vit_bank_key_0_0 |          5 |          5 |       0 |    0 |     0 |      1 |      0 |          0 |
|     vit_top_0   |  vit_vit_top_0_0 |      11800 |      10000 |    1500 |  300 | 12500 |     30 |      8 |         47 |
|       (inst)    |  vit_vit_top_0_0 |         80 |         80 |       0 |    0 |    10 |      0 |      0 |          0 |
+-----------------+------------------+------------+------------+---------+------+-------+--------+--------+------------+
"""


def timing_rpt(wns: str = "0.214", failing: int = 0) -> str:
    """A timing summary with a worst slack."""
    return f"""| Design Timing Summary
| ---------------------
------------------------------------------------------------

    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)      THS(ns)  THS Failing Endpoints  THS Total Endpoints
    -------      -------  ---------------------  -------------------      -------      -------  ---------------------  -------------------
      {wns}        0.000                      {failing}                38211        0.010        0.000                      0                38211


Clock Summary
"""
