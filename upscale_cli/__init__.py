"""Upscale photos with Real-ESRGAN and ESPCN."""

__version__ = "0.1.0"
