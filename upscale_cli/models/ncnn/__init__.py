"""Checkpoints of the ncnn tools: a graph as text, NAME.param, and its weights, NAME.bin, made into our own nets.

    .param  ->  layers (param)  +  .bin  ->  weights (blobs)  ->  which net of ours computes the same (nets)

Nothing of ncnn is needed. https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure (BSD-3-Clause)
"""
