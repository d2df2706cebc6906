// Activation RAM beside the accelerator that Vitis HLS makes: the two ap_memory ports of a bank.
//
// Protocol: what Vitis HLS expects of a RAM with a latency of 1: rd_data is the word of the address that
// was there with rd_ce in the last clock cycle that had it, and stays while rd_ce is low. A read in the
// cycle of a write and at its address gets the old word; the schedule never needs that one.
// Rate: one read and one write per cycle. Verilog-2001, for the block design refers to the module.
module bank_ram #(
    parameter WIDTH = 1,
    parameter DEPTH = 2,
    parameter ADDRESS_BITS = 1,
    parameter ULTRA = 0
) (
    input wire clk,
    input wire [ADDRESS_BITS-1:0] rd_address,
    input wire rd_ce,
    output reg [WIDTH-1:0] rd_data,
    input wire [ADDRESS_BITS-1:0] wr_address,
    input wire wr_ce,
    input wire wr_we,
    input wire [WIDTH-1:0] wr_data
);
  // The cost model draws the same line between LUT RAM and block RAM.
  /* verilator lint_off UNUSEDPARAM */  // it does not count attributes
  localparam STYLE = ULTRA != 0 ? "ultra" : DEPTH > 64 ? "block" : "distributed";
  /* verilator lint_on UNUSEDPARAM */
  (* ram_style = STYLE *) reg [WIDTH-1:0] memory[0:DEPTH-1];

  always @(posedge clk) begin
    if (rd_ce) rd_data <= memory[rd_address];
    if (wr_ce && wr_we) memory[wr_address] <= wr_data;
  end
endmodule
