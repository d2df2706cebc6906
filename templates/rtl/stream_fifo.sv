// FIFO of exactly DEPTH words, ready/valid on both sides.
//
// Rate: one word per cycle in and out. Latency: a word that enters an empty FIFO is offered in the
// next cycle, and where the words are in block RAM (DEPTH > LUTRAM_DEPTH, whose default the cost model
// knows) in the cycle after that. No path from
// one side to the other, but for DEPTH 1: its one place is free again while its word is taken.
module stream_fifo #(
    parameter int WIDTH = 1,
    parameter int DEPTH = 2,
    parameter int LUTRAM_DEPTH = 64
) (
    input wire clk,
    input wire rst,
    input wire [WIDTH-1:0] in_data,
    input wire in_vld,
    output wire in_rdy,
    output wire [WIDTH-1:0] out_data,
    output wire out_vld,
    input wire out_rdy,
    output reg [$clog2(DEPTH+1)-1:0] count,  // words inside
    output wire empty
);
  localparam int COUNT_BITS = $clog2(DEPTH + 1);
  localparam [COUNT_BITS-1:0] FULL = COUNT_BITS'(DEPTH);

  wire entering = in_vld && in_rdy;
  wire leaving = out_vld && out_rdy;
  assign empty = count == 0;

  always_ff @(posedge clk)
    if (rst) count <= 0;
    else if (entering != leaving) count <= entering ? count + 1'b1 : count - 1'b1;

  generate
    if (DEPTH == 1) begin : register
      reg [WIDTH-1:0] word;
      assign in_rdy   = empty || out_rdy;
      assign out_vld  = !empty;
      assign out_data = word;
      always_ff @(posedge clk) if (entering) word <= in_data;
    end else begin : memory
      localparam int PLACE_BITS = $clog2(DEPTH);
      localparam [PLACE_BITS-1:0] LAST = PLACE_BITS'(DEPTH - 1);
      reg [PLACE_BITS-1:0] tail, head;
      wire advance;  // the word at the head leaves the memory

      assign in_rdy = count != FULL;

      always_ff @(posedge clk) begin
        if (entering) tail <= tail == LAST ? '0 : tail + 1'b1;
        if (advance) head <= head == LAST ? '0 : head + 1'b1;
        if (rst) begin
          tail <= '0;
          head <= '0;
        end
      end

      if (DEPTH <= LUTRAM_DEPTH) begin : shallow
        (* ram_style = "distributed" *) reg [WIDTH-1:0] words[DEPTH];
        assign advance  = leaving;
        assign out_vld  = !empty;
        assign out_data = words[head];
        always_ff @(posedge clk) if (entering) words[tail] <= in_data;
      end else begin : deep
        // The read register of the block RAM is the output: it holds the word until it is taken.
        (* ram_style = "block" *) reg [WIDTH-1:0] words[DEPTH];
        reg [WIDTH-1:0] word;
        reg offered;
        wire [COUNT_BITS-1:0] offered_count = COUNT_BITS'(offered);
        assign advance  = count != offered_count && (!offered || out_rdy);
        assign out_vld  = offered;
        assign out_data = word;
        always_ff @(posedge clk) begin
          if (entering) words[tail] <= in_data;
          if (advance) word <= words[head];
        end
        always_ff @(posedge clk)
          if (rst) offered <= 1'b0;
          else if (advance) offered <= 1'b1;
          else if (out_rdy) offered <= 1'b0;
      end
    end
  endgenerate
endmodule
