"""Exchange with other tools: the integer bundle, QONNX, the hls4ml layer.

Importing the package loads none of onnx, qonnx, hls4ml and torch; what needs one imports it in its
functions and names the extra that is missing.
"""
