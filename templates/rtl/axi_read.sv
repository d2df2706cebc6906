// Reads the beats of each request from an AXI4 memory, in order.
//
// Protocol: `request` and `beats` are ready/valid; a request is {beats, address, stop}, address in
// beats from `base`, which is a multiple of 16 bytes and stays while the master runs. Bursts are INCR
// within 256 bytes, hence of 1 to 16 beats and never across 4 KiB. One is asked for only when the
// FIFO has room for all of it, so RREADY is always high. After a stop, and after reset, the master
// takes nothing until `restart`, a pulse that is given while `stopped` is high; it also drops beats
// that nobody took.
// Errors: a response other than OKAY sets `error` until `restart`. The master asks for nothing more,
// and that beat and all after it are zeros, as many as were requested: so a run still ends.
// Rate: one beat per cycle while the memory answers within 16 * OUTSTANDING - 19 cycles.
// Latency: 3 cycles beside the memory's, and one more where OUTSTANDING is above 4.
module axi_read #(
    parameter int OUTSTANDING = 4,  // bursts of 16 beats that can be on their way
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
    output wire [127:0] beats_data,
    output wire beats_vld,
    input wire beats_rdy,
    output reg m_axi_ARVALID,
    input wire m_axi_ARREADY,
    output wire [63:0] m_axi_ARADDR,
    output wire [0:0] m_axi_ARID,
    output wire [7:0] m_axi_ARLEN,
    output wire [2:0] m_axi_ARSIZE,
    output wire [1:0] m_axi_ARBURST,
    output wire [3:0] m_axi_ARCACHE,
    output wire [2:0] m_axi_ARPROT,
    input wire m_axi_RVALID,
    output wire m_axi_RREADY,
    input wire [127:0] m_axi_RDATA,
    input wire m_axi_RLAST,
    input wire [0:0] m_axi_RID,
    input wire [1:0] m_axi_RRESP
);
  localparam int DEPTH = 16 * OUTSTANDING;
  localparam int ROOM_BITS = $clog2(DEPTH + 1);
  localparam [ROOM_BITS-1:0] ALL = ROOM_BITS'(DEPTH);

  reg [ADDRESS_BITS-1:0] left;  // beats of the request not yet asked for
  reg [59:0] next;  // address of the first of them, in beats
  reg [59:0] burst_address;
  reg [3:0] burst_last;
  reg [ROOM_BITS-1:0] room;  // places of the FIFO that are neither taken nor promised
  reg [ROOM_BITS-1:0] coming;  // beats that were asked for
  reg halted;

  // The next burst: to the end of the request or of the 256 bytes.
  wire [4:0] to_end = 5'd16 - {1'b0, next[3:0]};
  wire [4:0] length = left < ADDRESS_BITS'(to_end) ? left[4:0] : to_end;
  wire free = !m_axi_ARVALID || m_axi_ARREADY;
  wire issue = !error && left != 0 && free && room >= ROOM_BITS'(length);
  // After an error zeros follow once the memory has answered all.
  wire fill = error && left != 0 && coming == 0 && room != 0;

  wire answer = m_axi_RVALID && m_axi_RREADY;
  wire failed = answer && m_axi_RRESP != 2'b00;
  wire take = request_vld && request_rdy;
  wire [ADDRESS_BITS-1:0] address = request_data[ADDRESS_BITS:1];
  wire leaving = beats_vld && beats_rdy;

  assign request_rdy = !halted && left == 0;
  assign stopped = halted && coming == 0;

  always_ff @(posedge clk) begin
    if (take) begin
      left <= request_data[0] ? '0 : request_data[2*ADDRESS_BITS:ADDRESS_BITS+1];
      next <= base[63:4] + 60'(address);
    end else if (issue) begin
      left <= left - ADDRESS_BITS'(length);
      next <= next + 60'(length);
    end else if (fill) left <= left - 1'b1;
    if (issue) begin
      burst_address <= next;
      burst_last <= length[3:0] - 4'd1;
    end
    if (free) m_axi_ARVALID <= issue;
    room <= room + ROOM_BITS'(leaving) - (issue ? ROOM_BITS'(length) : ROOM_BITS'(fill));
    coming <= coming + (issue ? ROOM_BITS'(length) : '0) - ROOM_BITS'(answer);
    if (take && request_data[0]) halted <= 1'b1;
    if (failed) error <= 1'b1;
    if (restart) begin
      halted <= 1'b0;
      error <= 1'b0;
      room <= ALL;
    end
    if (rst) begin
      left <= '0;
      m_axi_ARVALID <= 1'b0;
      room <= ALL;
      coming <= '0;
      halted <= 1'b1;
      error <= 1'b0;
    end
  end

  assign m_axi_ARADDR = {burst_address, 4'b0};
  assign m_axi_ARID = 1'b0;
  assign m_axi_ARLEN = {4'b0, burst_last};
  assign m_axi_ARSIZE = 3'd4;  // 16 bytes
  assign m_axi_ARBURST = 2'b01;
  assign m_axi_ARCACHE = 4'b0011;
  assign m_axi_ARPROT = 3'b000;
  assign m_axi_RREADY = 1'b1;

  wire fifo_rdy, fifo_empty;
  wire [ROOM_BITS-1:0] fifo_count;
  stream_fifo #(
      .WIDTH(128),
      .DEPTH(DEPTH)
  ) fifo (
      .clk(clk),
      .rst(rst || restart),
      .in_data(error || failed ? 128'b0 : m_axi_RDATA),
      .in_vld(answer || fill),
      .in_rdy(fifo_rdy),
      .out_data(beats_data),
      .out_vld(beats_vld),
      .out_rdy(beats_rdy),
      .count(fifo_count),
      .empty(fifo_empty)
  );

  // Room is promised before a beat comes; beats are counted, so RLAST says nothing new, and one ID is
  // in use. The low bits of a base are 0.
  wire unused = &{1'b0, m_axi_RLAST, m_axi_RID, base[3:0], fifo_rdy, fifo_count, fifo_empty};
endmodule
