// FIFO of one stream: words wait in the order in which they came; the first one is offered as soon
// as it is there. No combinational path leads from one side to the other.
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
  localparam int PLACE_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1;
  localparam int COUNT_BITS = $clog2(DEPTH + 1);
  localparam bit [PLACE_BITS-1:0] LAST = PLACE_BITS'(DEPTH - 1);

  reg [WIDTH-1:0] words[DEPTH];
  reg [PLACE_BITS-1:0] first, free;
  reg [COUNT_BITS-1:0] count;

  wire put = in_vld && in_rdy;
  wire get = out_vld && out_rdy;

  assign in_rdy = count != COUNT_BITS'(DEPTH);
  assign out_vld = count != '0;
  assign out_data = words[first];

  always_ff @(posedge clk) begin
    if (put) words[free] <= in_data;
    if (rst) begin
      first <= '0;
      free <= '0;
      count <= '0;
    end else begin
      if (put) free <= free == LAST ? '0 : free + 1'b1;
      if (get) first <= first == LAST ? '0 : first + 1'b1;
      if (put != get) count <= put ? count + 1'b1 : count - 1'b1;
    end
  end
endmodule
