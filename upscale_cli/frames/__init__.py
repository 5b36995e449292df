"""The values that travel: pictures, rows, planes of clips, and what tells their colours. They own nothing."""
