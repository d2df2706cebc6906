// Memory of one process: one read port and one write port, ready/valid.
//
// A read answers one clock cycle later. Its answer waits in the read register of the RAM until it is
// taken, and a request is taken in the cycle in which the answer before it is, or later: so a stalled
// reader loses nothing and an unstalled one reads in every cycle, as long as it takes an answer in the
// stage behind its request. A write is always taken, in the cycle in which it is offered, so it is
// there for a read of the next cycle. A read in the same cycle and at the same address gets the old
// word; the schedule never needs that one.
module process_ram #(
    parameter int DEPTH = 2,
    parameter int WIDTH = 1,
    parameter int ADDRESS_BITS = 1,
    parameter int ULTRA = 0  // 1: in RAMs of 288 kbit
) (
    input wire clk,
    input wire rst,
    input wire [ADDRESS_BITS-1:0] rd_req_data,
    input wire rd_req_vld,
    output wire rd_req_rdy,
    output wire [WIDTH-1:0] rd_resp_data,
    output wire rd_resp_vld,
    input wire rd_resp_rdy,
    input wire [ADDRESS_BITS+WIDTH-1:0] wr_req_data,
    input wire wr_req_vld,
    output wire wr_req_rdy
);
  // The cost model draws the same line between LUT RAM and block RAM.
  /* verilator lint_off UNUSEDPARAM */  // it does not count attributes
  localparam STYLE = ULTRA != 0 ? "ultra" : DEPTH > 64 ? "block" : "distributed";
  /* verilator lint_on UNUSEDPARAM */
  (* ram_style = STYLE *) reg [WIDTH-1:0] memory[DEPTH];
  reg [WIDTH-1:0] answer;
  reg answered;  // it waits

  assign rd_resp_vld = answered;
  assign rd_resp_data = answer;
  assign rd_req_rdy = !answered || rd_resp_rdy;
  assign wr_req_rdy = 1'b1;

  always_ff @(posedge clk) begin
    if (rd_req_vld && rd_req_rdy) answer <= memory[rd_req_data];
    if (wr_req_vld) memory[wr_req_data[WIDTH+:ADDRESS_BITS]] <= wr_req_data[WIDTH-1:0];
  end

  always_ff @(posedge clk)
    if (rst) answered <= 1'b0;
    else if (rd_req_rdy) answered <= rd_req_vld;
endmodule
