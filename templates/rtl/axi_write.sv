// Writes the beats of each request to an AXI4 memory, in order, and reports when they are there.
//
// Protocol: `request`, `beats` and `done` are ready/valid; a request is {beats, address, stop},
// address in beats from `base`, which is a multiple of 16 bytes and stays while the master runs.
// Bursts are INCR within 256 bytes, hence of 1 to 16 beats and never across 4 KiB. One begins only
// when all its beats are here, so a slow producer never holds the bus. `done` gives one word per
// request, after the last response of it. After a stop, and after reset, the master takes nothing
// until `restart`, a pulse that is given while `stopped` is high; it also drops beats left over.
// Errors: a response other than OKAY sets `error` until `restart`. The master begins no more bursts;
// it takes the beats that are still to come and drops them, so a run still ends.
// Rate: one beat per cycle while the memory takes them. Latency: 3 cycles beside the memory's after
// the last beat of a burst.
module axi_write #(
    parameter int OUTSTANDING = 4,  // bursts that can be without a response
    parameter int ADDRESS_BITS = 28
) (
    input wire clk,
    input wire rst,
    input wire restart,
    output wire stopped,
    output reg error,
    input wire [63:0] base,
    input wire [2*ADDRESS_BITS:0] request_data,
    input wire request_vld,
    output wire request_rdy,
    input wire [127:0] beats_data,
    input wire beats_vld,
    output wire beats_rdy,
    output wire done_data,
    output wire done_vld,
    input wire done_rdy,
    output reg m_axi_AWVALID,
    input wire m_axi_AWREADY,
    output wire [63:0] m_axi_AWADDR,
    output wire [0:0] m_axi_AWID,
    output wire [7:0] m_axi_AWLEN,
    output wire [2:0] m_axi_AWSIZE,
    output wire [1:0] m_axi_AWBURST,
    output wire [3:0] m_axi_AWCACHE,
    output wire [2:0] m_axi_AWPROT,
    output wire m_axi_WVALID,
    input wire m_axi_WREADY,
    output wire [127:0] m_axi_WDATA,
    output wire [15:0] m_axi_WSTRB,
    output wire m_axi_WLAST,
    input wire m_axi_BVALID,
    output wire m_axi_BREADY,
    input wire [0:0] m_axi_BID,
    input wire [1:0] m_axi_BRESP
);
  localparam int DEPTH = 32;  // a burst that leaves and one that gathers
  localparam int COUNT_BITS = $clog2(DEPTH + 1);
  localparam int BURST_BITS = $clog2(OUTSTANDING + 1);
  localparam [BURST_BITS-1:0] MOST = BURST_BITS'(OUTSTANDING);

  reg active;  // a request that is not reported yet
  reg [ADDRESS_BITS-1:0] left;  // beats of it that no burst has yet
  reg [59:0] next;  // address of the first of them, in beats
  reg [59:0] burst_address;
  reg [3:0] burst_last;
  reg [COUNT_BITS-1:0] gathered;  // beats in the FIFO that no burst has yet
  reg [BURST_BITS-1:0] open;  // bursts without a response
  reg [3:0] place;  // of a beat in its burst
  reg halted;

  wire [4:0] to_end = 5'd16 - {1'b0, next[3:0]};
  wire [4:0] length = left < ADDRESS_BITS'(to_end) ? left[4:0] : to_end;
  wire [3:0] length_last = length[3:0] - 4'd1;
  wire free = !m_axi_AWVALID || m_axi_AWREADY;
  wire issue = !error && left != 0 && free && open != MOST && gathered >= COUNT_BITS'(length);

  wire take = request_vld && request_rdy;
  wire [ADDRESS_BITS-1:0] address = request_data[ADDRESS_BITS:1];
  wire arrive = beats_vld && beats_rdy;
  wire response = m_axi_BVALID && m_axi_BREADY;
  wire reported = done_vld && done_rdy;

  // Bursts whose beats still leave: the number of each one's last beat.
  wire [3:0] leaving_last;
  wire leaving, lengths_rdy, lengths_empty;
  wire [BURST_BITS-1:0] lengths_count;
  wire beat_there, beats_empty;
  wire [127:0] beat;
  wire [COUNT_BITS-1:0] beats_count;
  wire sent = m_axi_WVALID && m_axi_WREADY;
  // After an error beats are dropped once those of the bursts that had begun are gone.
  wire drop = error && !leaving && left != 0 && beat_there;

  assign request_rdy = !halted && !active;
  assign stopped = halted && open == 0;
  assign done_data = 1'b1;
  assign done_vld = active && left == 0 && open == 0;

  always_ff @(posedge clk) begin
    if (take) begin
      active <= !request_data[0];
      left <= request_data[0] ? '0 : request_data[2*ADDRESS_BITS:ADDRESS_BITS+1];
      next <= base[63:4] + 60'(address);
    end else if (issue) begin
      left <= left - ADDRESS_BITS'(length);
      next <= next + 60'(length);
    end else if (drop) left <= left - 1'b1;
    if (reported) active <= 1'b0;
    if (issue) begin
      burst_address <= next;
      burst_last <= length_last;
    end
    if (free) m_axi_AWVALID <= issue;
    gathered <= gathered + COUNT_BITS'(arrive) - (issue ? COUNT_BITS'(length) : COUNT_BITS'(drop));
    open <= open + BURST_BITS'(issue) - BURST_BITS'(response);
    if (sent) place <= m_axi_WLAST ? 4'd0 : place + 4'd1;
    if (take && request_data[0]) halted <= 1'b1;
    if (response && m_axi_BRESP != 2'b00) error <= 1'b1;
    if (restart) begin
      halted <= 1'b0;
      error <= 1'b0;
      gathered <= '0;
    end
    if (rst) begin
      active <= 1'b0;
      left <= '0;
      m_axi_AWVALID <= 1'b0;
      gathered <= '0;
      open <= '0;
      place <= 4'd0;
      halted <= 1'b1;
      error <= 1'b0;
    end
  end

  stream_fifo #(
      .WIDTH(128),
      .DEPTH(DEPTH)
  ) fifo (
      .clk(clk),
      .rst(rst || restart),
      .in_data(beats_data),
      .in_vld(beats_vld),
      .in_rdy(beats_rdy),
      .out_data(beat),
      .out_vld(beat_there),
      .out_rdy(sent || drop),
      .count(beats_count),
      .empty(beats_empty)
  );

  stream_fifo #(
      .WIDTH(4),
      .DEPTH(OUTSTANDING)
  ) lengths (
      .clk(clk),
      .rst(rst),
      .in_data(length_last),
      .in_vld(issue),
      .in_rdy(lengths_rdy),
      .out_data(leaving_last),
      .out_vld(leaving),
      .out_rdy(sent && m_axi_WLAST),
      .count(lengths_count),
      .empty(lengths_empty)
  );

  assign m_axi_AWADDR = {burst_address, 4'b0};
  assign m_axi_AWID = 1'b0;
  assign m_axi_AWLEN = {4'b0, burst_last};
  assign m_axi_AWSIZE = 3'd4;  // 16 bytes
  assign m_axi_AWBURST = 2'b01;
  assign m_axi_AWCACHE = 4'b0011;
  assign m_axi_AWPROT = 3'b000;
  assign m_axi_WVALID = leaving;  // its beats are all in the FIFO
  assign m_axi_WDATA = beat;
  assign m_axi_WSTRB = '1;
  assign m_axi_WLAST = place == leaving_last;
  assign m_axi_BREADY = 1'b1;

  // One ID is in use, the low bits of a base are 0. The FIFO of lengths has a place for every open
  // burst, the other one is counted here.
  wire unused = &{1'b0, m_axi_BID, base[3:0], lengths_rdy, lengths_count, lengths_empty,
                  beats_count, beats_empty};
endmodule
