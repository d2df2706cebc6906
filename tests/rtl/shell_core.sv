// A core for the tests of the shell, for two weight ports. An instruction is four beats, of which it
// reads the first: bit 0 is 1, bits 7..3 select sources (params, image, constants, weights_0, weights_1),
// none ends;
// from bit 8 on the address to read from, from bit 36 on the beats, from bit 64 on the address to
// write to. The exclusive or of the sources' beats goes to the output. Bit 127 keeps the core from
// reading the other three beats.
module vit_core (
    input wire clk,
    input wire rst,
    input wire [127:0] program_beats_data, input wire program_beats_vld, output wire program_beats_rdy,
    output wire [56:0] param_request_data, output wire param_request_vld, input wire param_request_rdy,
    input wire [127:0] param_beats_data, input wire param_beats_vld, output wire param_beats_rdy,
    output wire [56:0] image_request_data, output wire image_request_vld, input wire image_request_rdy,
    input wire [127:0] image_beats_data, input wire image_beats_vld, output wire image_beats_rdy,
    output wire [56:0] constant_request_data, output wire constant_request_vld,
    input wire constant_request_rdy,
    input wire [127:0] constant_beats_data, input wire constant_beats_vld,
    output wire constant_beats_rdy,
    output wire [56:0] weight_request_0_data, output wire weight_request_0_vld,
    input wire weight_request_0_rdy,
    input wire [127:0] weight_beats_0_data, input wire weight_beats_0_vld,
    output wire weight_beats_0_rdy,
    output wire [56:0] weight_request_1_data, output wire weight_request_1_vld,
    input wire weight_request_1_rdy,
    input wire [127:0] weight_beats_1_data, input wire weight_beats_1_vld,
    output wire weight_beats_1_rdy,
    output wire [56:0] output_request_data, output wire output_request_vld,
    input wire output_request_rdy,
    output wire [127:0] output_beats_data, output wire output_beats_vld, input wire output_beats_rdy,
    input wire store_done_data, input wire store_done_vld, output wire store_done_rdy
);
  reg [1:0] beat;  // of the instruction
  reg fetching;
  reg [5:0] asking;  // five sources and the output
  reg [4:0] sources;
  reg [27:0] from, to, beats, left;
  reg ended;

  assign program_beats_rdy = fetching;
  wire [5:0] request_rdy = {output_request_rdy, weight_request_1_rdy, weight_request_0_rdy,
                            constant_request_rdy, image_request_rdy, param_request_rdy};
  wire [56:0] request = {beats, from, ended};
  assign {output_request_vld, weight_request_1_vld, weight_request_0_vld, constant_request_vld,
          image_request_vld, param_request_vld} = asking;
  assign param_request_data = request;
  assign image_request_data = request;
  assign constant_request_data = request;
  assign weight_request_0_data = request;
  assign weight_request_1_data = request;
  assign output_request_data = {beats, to, ended};

  wire [4:0] there = {weight_beats_1_vld, weight_beats_0_vld, constant_beats_vld, image_beats_vld,
                      param_beats_vld};
  assign output_beats_vld = left != 0 && (there & sources) == sources;
  wire moved = output_beats_vld && output_beats_rdy;
  assign {weight_beats_1_rdy, weight_beats_0_rdy, constant_beats_rdy, image_beats_rdy,
          param_beats_rdy} = moved ? sources : 5'b0;
  assign output_beats_data = (sources[0] ? param_beats_data : 0) ^ (sources[1] ? image_beats_data : 0)
      ^ (sources[2] ? constant_beats_data : 0) ^ (sources[3] ? weight_beats_0_data : 0)
      ^ (sources[4] ? weight_beats_1_data : 0);
  assign store_done_rdy = left == 0 && !fetching && !ended;

  always_ff @(posedge clk) begin
    asking <= asking & ~request_rdy;
    if (moved) left <= left - 1;
    if (program_beats_vld && program_beats_rdy) begin
      beat <= beat + 1;
      if (beat == 0) begin
        sources <= program_beats_data[7:3];
        from <= program_beats_data[35:8];
        beats <= program_beats_data[63:36];
        to <= program_beats_data[91:64];
      end
      if (beat == 3 || program_beats_data[127]) begin
        fetching <= 0;
        if (program_beats_data[127] || sources == 0) begin
          ended <= 1;
          asking <= '1;
        end else begin
          left <= beats;
          asking <= {1'b1, sources};
        end
      end
    end
    if (store_done_vld && store_done_rdy) fetching <= 1;
    if (rst) begin
      beat <= 0;
      fetching <= 1;
      asking <= 0;
      left <= 0;
      ended <= 0;
    end
  end

  wire unused = store_done_data;
endmodule
