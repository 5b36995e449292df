"""Clips: what is in them, frames out of ffmpeg, frames into ffmpeg."""
