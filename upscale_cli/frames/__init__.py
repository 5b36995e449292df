"""The values that travel: pictures, rows, planes of clips, and the tags of their colours. They own nothing."""
