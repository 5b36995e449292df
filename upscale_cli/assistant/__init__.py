"""Tools for assistants, by the Model Context Protocol: `upscale mcp`.

server  (the SDK)  ->  tools  (one function each)  ->  api.py
running (progress, cancelling)        allowed (which folders)        arguments (what tools take, errors in their words)
"""
