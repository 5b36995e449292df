"""Small matters of wording. Pure."""


def counted(number: int, noun: str) -> str:
    """
    >>> counted(1, "frame"), counted(1200, "frame")
    ('1 frame', '1,200 frames')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
