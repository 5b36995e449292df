"""ffmpeg as a process: the program, its pipes, and what goes through them."""
