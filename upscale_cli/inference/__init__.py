"""From LR values to SR values: sizes, planes, tiles, nets on devices, blending."""
