// Memory of one process: one read port and one write port, ready/valid.
//
// A read answers one clock cycle later; up to two answers wait here until they are taken, so that a
// stalled reader loses nothing and an unstalled one reads in every cycle. A write is always taken,
// in the cycle in which it is offered, so it is there for a read of the next cycle. A read in the
// same cycle and at the same address gets the old word; the schedule never needs that one.
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
  reg [WIDTH-1:0] answer;  // of the read of the last cycle
  reg answered;
  reg [WIDTH-1:0] held[2];  // older answers, the oldest first
  reg [1:0] count;

  wire taken = rd_resp_vld && rd_resp_rdy;
  wire accepted = rd_req_vld && rd_req_rdy;

  assign rd_resp_vld = answered || count != 0;
  assign rd_resp_data = count != 0 ? held[0] : answer;
  assign rd_req_rdy = {1'b0, count} + {2'b0, answered} < 3'd2 || taken;
  assign wr_req_rdy = 1'b1;

  always_ff @(posedge clk) begin
    if (accepted) answer <= memory[rd_req_data];
    if (wr_req_vld) memory[wr_req_data[WIDTH+:ADDRESS_BITS]] <= wr_req_data[WIDTH-1:0];
  end

  // The answer of the last cycle joins the held ones unless it is the one that is taken.
  always_ff @(posedge clk) begin
    if (rst) begin
      answered <= 1'b0;
      count <= 2'd0;
    end else begin
      answered <= accepted;
      if (taken && count != 0) begin
        held[0] <= count == 2'd2 ? held[1] : answer;
        held[1] <= answer;
        if (!answered) count <= count - 2'd1;
      end else if (answered && !taken) begin
        held[count[0]] <= answer;
        count <= count + 2'd1;
      end
    end
  end
endmodule
