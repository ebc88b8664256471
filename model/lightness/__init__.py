"""The network `hyperp-mb` of the paper and its pass, on the CPU and on CUDA."""
