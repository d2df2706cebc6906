// A stream_fifo of the simulation, in the place of the real one: that is plain_fifo inside.
//
// While the harness leaves its variables alone it behaves as the real one. `chance` (of 256, drawn
// anew in every cycle and for each end) holds an end back: the FIFO is not ready though it has room,
// or does not offer the word that it has. A word that was offered stays offered until it is taken.
// `places` makes it shallower than DEPTH, or deeper up to SPARE times DEPTH, at the latency of DEPTH.
// Whatever changes, changes with the clock: no path leads from one side to the other.
module stream_fifo #(
    parameter int WIDTH = 1,
    parameter int DEPTH = 2
) (
    input wire clk,
    input wire rst,
    input wire [WIDTH-1:0] in_data,
    input wire in_vld,
    output wire in_rdy,
    output wire [WIDTH-1:0] out_data,
    output wire out_vld,
    input wire out_rdy
);
  localparam int SPARE = 4;
  localparam int LUTRAM_DEPTH = 64;  // as in the real one

  // Written by the harness before a run.
  reg [31:0] places = DEPTH;
  reg [31:0] chance = 0;
  reg [31:0] state = 1;  // of random numbers, not 0

  // xorshift: George Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8 (14), 2003.
  wire [31:0] left = state ^ (state << 13);
  wire [31:0] right = left ^ (left >> 17);
  reg hold_in = 1'b0, hold_out = 1'b0, offered = 1'b0;

  wire room, there;
  wire [$clog2(DEPTH*SPARE+1)-1:0] count;
  wire open = !hold_in && 32'(count) < places;

  plain_fifo #(
      .WIDTH(WIDTH),
      .DEPTH(DEPTH * SPARE),
      .LUTRAM_DEPTH(DEPTH > LUTRAM_DEPTH ? LUTRAM_DEPTH : DEPTH * SPARE)
  ) fifo (
      .clk(clk),
      .rst(rst),
      .in_data(in_data),
      .in_vld(in_vld && open),
      .in_rdy(room),
      .out_data(out_data),
      .out_vld(there),
      .out_rdy(out_rdy && out_vld),
      .count(count),
      .empty()
  );
  assign in_rdy  = room && open;
  assign out_vld = there && (offered || !hold_out);

  always_ff @(posedge clk) begin
    if (chance != 0) begin
      state <= right ^ (right << 5);
      hold_in <= 32'(state[7:0]) < chance;
      hold_out <= 32'(state[23:16]) < chance;
    end else begin
      hold_in  <= 1'b0;
      hold_out <= 1'b0;
    end
    offered <= out_vld && !out_rdy && !rst;
  end
endmodule
