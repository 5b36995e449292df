"""The scripts that made the bundled checkpoints. Nothing in `upscale_cli` imports them."""
