// For yosys: a signed 27 x 18 product as a DSP slice without registers, as its techmap takes it.
//
// The cell is called DSP48E1, the name that yosys's packer of registers and accumulators looks for;
// the ports that matter are those of DSP48E2, which it becomes afterwards.
module \$__MUL27X18 (
    input  wire [26:0] A,
    input  wire [17:0] B,
    output wire [44:0] Y
);
  parameter A_SIGNED = 1;
  parameter B_SIGNED = 1;
  parameter A_WIDTH = 27;
  parameter B_WIDTH = 18;
  parameter Y_WIDTH = 45;

  wire [47:0] p;
  assign Y = p[44:0];

  DSP48E1 #(
      .AREG(0), .BREG(0), .CREG(0), .DREG(0), .ADREG(0), .MREG(0), .PREG(0), .ACASCREG(0),
      .BCASCREG(0), .ALUMODEREG(0), .CARRYINREG(0), .CARRYINSELREG(0), .INMODEREG(0),
      .OPMODEREG(0), .USE_MULT("MULTIPLY"), .USE_DPORT("FALSE")
  ) _TECHMAP_REPLACE_ (
      .A({{3{A[26]}}, A}), .B(B), .C(48'd0), .D(25'd0), .P(p), .ACIN(30'd0), .BCIN(18'd0),
      .PCIN(48'd0), .CARRYIN(1'b0), .CARRYINSEL(3'd0), .ALUMODE(4'd0), .INMODE(5'd0),
      .OPMODE(7'b000_01_01)
  );
endmodule
