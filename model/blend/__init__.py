"""The network `pyramid-blend` and its passes, on the CPU and on CUDA."""
